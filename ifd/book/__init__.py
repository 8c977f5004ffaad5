"""The order book of one instrument, order by order."""

from ifd.book.order_book import OrderBook
from ifd.book.side import BookSide, Level, Order, Quote

__all__ = ["BookSide", "Level", "Order", "OrderBook", "Quote"]
