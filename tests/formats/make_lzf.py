"""Writes lzf.h5: data that h5py compressed with LZF, with and without its other filters. element i is i % 7."""
import h5py
import numpy as np

with h5py.File("lzf.h5", "w") as file:
    data = (np.arange(1000) % 7).reshape(20, 50).astype("float32")
    for shuffle in (False, True):
        for checksum in (False, True):
            name = "plain" + "_shuffle" * shuffle + "_checksum" * checksum
            file.create_dataset(name, data=data, chunks=(8, 25), compression="lzf", shuffle=shuffle, fletcher32=checksum)
    file.create_dataset("runs", data=np.zeros((300, 300), "int32"), chunks=(300, 300), compression="lzf")
