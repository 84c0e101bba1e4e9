"""Writes short_chunks.h5: data sets of 64 x 16 whose only chunk is sound, is absent, or unpacks to 16 bytes instead of
4096. Elements of the sound ones are i % 7, of the absent one 3."""
import zlib

import h5py
import numpy as np

shape = (64, 16)
size = 4096
short = b"abcd" * 4
packed = zlib.compress(short)


def lzf(data):  # literals alone
    return b"".join(bytes([len(data[i : i + 32]) - 1]) + data[i : i + 32] for i in range(0, len(data), 32))


with h5py.File("short_chunks.h5", "w") as file:

    def write(name, data, mask=0, **filters):
        file.create_dataset(name, shape, "f4", chunks=shape, **filters).id.write_direct_chunk((0, 0), data, filter_mask=mask)

    write("bad_plain", short)
    write("bad_deflate", packed, compression="gzip")
    write("bad_deflate_skipped", short, 1, compression="gzip")
    write("bad_lzf_skipped", short, 1, compression="lzf")
    write("bad_shuffle_deflate", packed, compression="gzip", shuffle=True)
    write("bad_checksum", short[:3], fletcher32=True)
    write("bad_long", zlib.compress(bytes(size + 4)), compression="gzip")

    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk(shape)
    properties.set_deflate(4)
    properties.set_filter(32000, 1, (4, 262, size))
    space = h5py.h5s.create_simple(shape)
    both = h5py.h5d.create(file.id, b"bad_deflate_lzf", h5py.h5t.IEEE_F32LE, space, properties)
    both.write_direct_chunk((0, 0), lzf(packed.ljust(size, b"\0")))

    data = (np.arange(64 * 16) % 7).reshape(shape).astype("float32")
    for name, filters in {
        "plain": {},
        "deflate": {"compression": "gzip"},
        "all": {"compression": "gzip", "shuffle": True, "fletcher32": True},
        "lzf": {"compression": "lzf", "shuffle": True, "fletcher32": True},
        "scale_offset": {"scaleoffset": 3, "compression": "gzip"},
    }.items():
        file.create_dataset("good_" + name, data=data, chunks=(24, 10), **filters)
    write("good_skipped", data.tobytes(), 1, compression="gzip")
    file.create_dataset("absent", shape, "f4", chunks=(24, 10), compression="gzip", fillvalue=3)
