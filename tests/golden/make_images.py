#!/usr/bin/env python3
"""Makes tests/golden/images: small pictures of many kinds, and images.npz with what Pillow reads from them.

    python make_images.py images
"""
import io
import pathlib
import struct
import sys

import numpy as np
from PIL import Image, ImageOps

folder = pathlib.Path(sys.argv[1])
folder.mkdir(exist_ok=True)
golden = {}

y, x = np.mgrid[0:20, 0:28]
colour = np.stack([x * 9, y * 12, (x + y) * 5], -1).clip(0, 255).astype(np.uint8)
colour[4:9, 6:12] = [250, 20, 30]
alpha = (255 - y * 12).astype(np.uint8)
rgb, grey = Image.fromarray(colour), Image.fromarray(colour).convert('L')
rgba = Image.fromarray(np.dstack([colour, alpha]))
palette = rgb.quantize(16)
bits = grey.point(lambda v: 255 if v > 90 else 0).convert('1')


def read(name, expected=None, channels=None):
    """Records the picture upright in its own channels, or `expected` where Pillow does otherwise."""
    if expected is None:
        with Image.open(folder / name) as image:
            image.load()
            image = ImageOps.exif_transpose(image)
            if channels is None:
                grey_palette = image.mode == 'P' and len(set(map(tuple, np.array(image.convert('RGB')).reshape(-1, 3)))) and \
                    all(len(set(c)) == 1 for c in np.array(image.getpalette()).reshape(-1, 3).tolist())
                transparent = 'transparency' in image.info or image.mode in ('RGBA', 'LA', 'PA')
                channels = 'RGBA' if transparent else 'L' if image.mode in ('1', 'L', 'I;16') or grey_palette else 'RGB'
            if image.mode == 'I;16':
                array = (np.array(image) >> 8).astype(np.uint8)
            else:
                array = np.array(image.convert(channels))
        expected = array if array.ndim == 3 else array[..., None]
    golden[name] = expected


def save(image, name, **options):
    image.save(folder / name, **options)
    read(name)


save(rgb, 'rgb.jpg', quality=92)
save(rgb, 'progressive.jpg', quality=92, progressive=True, subsampling=0)
save(grey, 'grey.jpg', quality=92)
save(rgb.convert('CMYK'), 'cmyk.jpg', quality=95)
save(rgb, 'rgb.png')
save(rgba, 'rgba.png')
save(grey, 'grey.png')
save(Image.merge('LA', (grey, Image.fromarray(alpha))), 'grey_alpha.png')
save(palette, 'palette.png')
save(palette, 'palette_transparent.png', transparency=3)
save(bits, 'bits.png')
save(Image.fromarray((colour[..., 0].astype(np.uint16) << 8) + 77), 'grey16.png')
save(rgb, 'lossy.webp', quality=80)
save(rgb, 'lossless.webp', lossless=True)
save(rgba, 'alpha.webp', lossless=True)
save(rgb, 'rgb24.bmp')
save(palette, 'palette8.bmp')
save(grey, 'grey8.bmp')
save(bits, 'bits1.bmp')
save(palette, 'first.gif', save_all=True, append_images=[palette.transpose(Image.Transpose.ROTATE_180)])
save(palette, 'interlaced.gif', interlace=1)
save(palette, 'transparent.gif', transparency=2)
save(grey, 'grey.gif')

for orientation in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = orientation
    small = rgb.resize((9, 6))
    save(small, f'orientation{orientation}.png', exif=exif)
    save(small, f'orientation{orientation}.webp', lossless=True, exif=exif)
    if orientation in (1, 3, 6):
        save(small, f'orientation{orientation}.jpg', quality=95, exif=exif)


def bitmap(name, bits_per_pixel, compression, body, masks=b'', top_down=False, header=40, colours=b''):
    height = -4 if top_down else 4
    info = struct.pack('<IiiHHIIiiII', header, 5, height, 1, bits_per_pixel, compression, len(body), 0, 0, len(colours) // 4, 0)
    info += masks + bytes(header - 40 - len(masks) if header > 40 else 0)
    offset = 14 + len(info) + len(colours)
    (folder / name).write_bytes(b'BM' + struct.pack('<IHHI', offset + len(body), 0, 0, offset) + info + colours + body)


small = np.array(rgb.resize((5, 4)))
rows16 = (small[..., 0].astype(np.uint16) >> 3 << 11) | (small[..., 1].astype(np.uint16) >> 2 << 5) | (small[..., 2] >> 3)
body = b''.join(np.append(row, [0]).astype('<u2').tobytes() for row in rows16)
bitmap('masks16.bmp', 16, 3, body, struct.pack('<III', 0xF800, 0x7E0, 0x1F), top_down=True)
wide = np.stack([(small[..., 0] >> 3).astype(int) * 255 // 31, (small[..., 1] >> 2).astype(int) * 255 // 63, (small[..., 2] >> 3).astype(int) * 255 // 31], -1)
read('masks16.bmp', wide.astype(np.uint8))
with_alpha = np.dstack([small[..., ::-1], np.full((4, 5), 200, np.uint8)])
bitmap('masks32.bmp', 32, 3, with_alpha[::-1].tobytes(), struct.pack('<IIII', 0xFF0000, 0xFF00, 0xFF, 0xFF000000), header=108)
read('masks32.bmp', np.dstack([small, np.full((4, 5), 200, np.uint8)]))
bitmap('rgb32.bmp', 32, 0, with_alpha[::-1].tobytes())
read('rgb32.bmp', small)
colours = bytes(v for c in [(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)] for v in (c[2], c[1], c[0], 0))
runs = bytes([5, 1, 0, 0, 0, 3, 1, 2, 3, 0, 2, 2, 0, 0, 0, 2, 1, 1, 3, 3, 0, 1])  # the delta leaves a row out
bitmap('runs8.bmp', 8, 1, runs, colours=colours)
indices = np.array([[0, 3, 3, 3, 0], [0, 0, 0, 0, 0], [1, 2, 3, 2, 2], [1, 1, 1, 1, 1]])
read('runs8.bmp', np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)], np.uint8)[indices])
bitmap('runs4.bmp', 4, 2, bytes([5, 0x12, 0, 0, 0, 5, 0x12, 0x31, 0x20, 0, 0, 0, 0, 1]), colours=colours)
indices = np.array([[0] * 5, [0] * 5, [1, 2, 3, 1, 2], [1, 2, 1, 2, 1]])
read('runs4.bmp', np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)], np.uint8)[indices])

np.savez_compressed(folder / 'images.npz', **golden)
# What Pillow makes of a picture that shrinks, against aliasing.
np.savez_compressed(folder / 'shrunk.npz', image=colour, shrunk=np.array(rgb.resize((7, 6), Image.Resampling.BILINEAR)))
print(len(golden), 'pictures', sum(f.stat().st_size for f in folder.iterdir()), 'bytes')
