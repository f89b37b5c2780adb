"""A client for Jollor's public API and the receiving end of its webhooks; knows no bridge but at its edge.

`protocol`, `models`, `webhooks` and `text` do no I/O. `client` and `auth` talk to Jollor. `translate`,
`receiver` and `social` are the only modules that know the bridge's vocabulary.
"""
