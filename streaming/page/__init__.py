"""The live page: pictures in a browser on this machine, with their state and age.

The pipeline feeds it (`run`, `demo`) or a subscription does (`watch`); one small web server.
"""
