"""evalkit: does an LLM keep the policies of the product it is in?"""

__version__ = "0.1.0"
