"""`aotrun serve`: the Open Inference Protocol over HTTP, from the standard library alone.

A supervisor listens and hands each connection to one of its workers, which are forks that have each loaded the models;
their weights are mapped files, so the workers share them. A worker is one thread that reads, batches and answers, and a
second one for models that compute for long. No request is in two places, so nothing is locked.
"""
