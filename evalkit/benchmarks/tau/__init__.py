"""tau-bench and tau2-bench domains from a checkout, as domains and scenarios of the suite `intellagent`."""
