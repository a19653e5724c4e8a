"""The function app that the host tests serve."""

from tasks import app

from boilermaker_fn.functions import function_app

functions = function_app(app)
