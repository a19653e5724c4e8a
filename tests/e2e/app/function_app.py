"""The function app that the end-to-end tests serve."""

from tasks import app

from boilermaker_fn.functions import function_app

functions = function_app(app)
