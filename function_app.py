"""The functions that Azure runs: here those of the example. Put your own app in its place."""

from boilermaker_fn.functions import function_app
from examples.orders.tasks import app

functions = function_app(app)
