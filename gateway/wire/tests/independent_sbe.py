"""Reads our schema and our golden vectors with an SBE decoder that knows nothing of Tickcast.

Usage: independent_sbe.py SCHEMA.xml VECTOR.json...

Each vector's bytes are decoded by the PyPI package `sbe` from the schema alone, message by message,
and compared with the vector's fields. Only the division of a frame into messages is done here: the
package decodes one message and does not say where it ends.
"""

import json
import sys

import sbe

GROUP_HEADER_BYTES = 4


def message_length(schema, message, data):
    """Header, root block, and each group's header and entries, by the lengths in the bytes."""
    block_length = schema.decode_header(data)["blockLength"]
    end = schema.header_size + block_length
    for field in message.fields:
        if isinstance(field, sbe.Group):
            entry_length = int.from_bytes(data[end : end + 2], "little")
            entries = int.from_bytes(data[end + 2 : end + 4], "little")
            end += GROUP_HEADER_BYTES + entry_length * entries
    return end


def same(golden, decoded):
    """Vectors write 64-bit integers as strings, the decoder gives integers."""
    if isinstance(golden, dict):
        return (
            isinstance(decoded, dict)
            and golden.keys() == decoded.keys()
            and all(same(value, decoded[name]) for name, value in golden.items())
        )
    if isinstance(golden, list):
        return (
            isinstance(decoded, list)
            and len(golden) == len(decoded)
            and all(map(same, golden, decoded))
        )
    if isinstance(golden, str) and isinstance(decoded, int):
        return golden == str(decoded)
    return golden == decoded


def check(schema, vector):
    data = bytes.fromhex(vector["sbe"])
    for golden in vector["messages"]:
        header = schema.decode_header(data)
        assert header["schemaId"] == int(schema.id), header
        message = schema.messages[header["templateId"]]
        length = message_length(schema, message, data)
        decoded = schema.decode(data[:length])
        where = f"{vector['name']}: {message.name}"
        assert decoded.message_name == golden["template"], where
        assert same(golden["fields"], decoded.value), (
            f"{where}:\n golden {golden['fields']}\ndecoded {decoded.value}"
        )
        data = data[length:]
    assert not data, f"{vector['name']}: {len(data)} bytes behind the last message"
    return len(vector["messages"])


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        schema = sbe.Schema.parse(file)
    messages, templates = 0, set()
    for path in sys.argv[2:]:
        with open(path, encoding="utf-8") as file:
            vector = json.load(file)
        messages += check(schema, vector)
        templates.update(message["template"] for message in vector["messages"])
    unread = {message.name for message in schema.messages.values()} - templates
    assert not unread, f"no vector for {unread}"
    print(f"{messages} messages of {len(templates)} templates in {len(sys.argv) - 2} vectors agree")


main()
