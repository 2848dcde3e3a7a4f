"""Wire to readings: links ask or listen, profiles say what the words mean, polling says when, the stream hands on.

Follow one reading: ``links/`` -> ``polling`` (or ``listening`` for MQTT) -> ``decoding`` -> ``stream`` -> ``storing/``.
``service`` joins them for one site.
"""
