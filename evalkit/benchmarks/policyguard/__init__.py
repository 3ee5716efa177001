"""The suite `policyguard`: policies and web trajectories whose labels are right by construction."""
