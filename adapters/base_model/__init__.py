"""The default chat model: fetched, checked, converted and quantised once into a local folder.

Everything here runs in the engine's environment or with the standard library alone, so that neither the
gateway's dependencies nor a model hub are needed. `prepare` is the command, `serving` the engine settings.
"""
