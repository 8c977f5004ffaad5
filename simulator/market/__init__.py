"""A simulated market: the NQ future, options around it, makers, flow, planted episodes with labels.

Every record is what CME's market-by-order feed looks like at Databento, so a real level-3 book
accepts the stream record for record. The same seed gives the same bytes.
"""

from simulator.market.chain import Chain, Contract, list_chain
from simulator.market.definitions import definition_messages
from simulator.market.episodes import Episode, Leg
from simulator.market.market import Market, MarketParams

__all__ = [
    "Chain",
    "Contract",
    "Episode",
    "Leg",
    "Market",
    "MarketParams",
    "definition_messages",
    "list_chain",
]
