"""The two numbers of a likeness by numpy, beside those of libvips."""

import numpy as np

C1, C2 = 6.5025, 58.5225


def luma(image):
    """Of pixels, alpha on grey of level 128; at least 64 a side by mirroring."""
    values = np.asarray(image, float)
    if values.ndim == 2:
        values = values[..., None]
    if values.shape[2] in (2, 4):
        share = values[..., -1:] / 255
        values = np.floor(values[..., :-1] * share + 128 * (1 - share))
    single = values @ [0.299, 0.587, 0.114] if values.shape[2] == 3 else values[..., 0]
    down, right = (max(0, 64 - side) for side in single.shape)
    return np.pad(single, ((0, down), (0, right)), mode="symmetric")


def blocks(values, side):
    """Their means."""
    height, width = (length // side * side for length in values.shape)
    cut = values[:height, :width].reshape(height // side, side, width // side, side)
    return cut.mean(axis=(1, 3))


def windows(values):
    """Means of 2 by 2 blocks of 4 by 4."""
    means = blocks(values, 4)
    return (means[:-1, :-1] + means[1:, :-1] + means[:-1, 1:] + means[1:, 1:]) / 4


def distances(one, other):
    """The mean squared error, and 1 less SSIM at a quarter, its fourth root mean."""
    x, y = luma(one), luma(other)
    a, b = blocks(x, 4), blocks(y, 4)
    mean_a, mean_b = windows(a), windows(b)
    spread_a, spread_b = windows(a * a) - mean_a**2, windows(b * b) - mean_b**2
    both = windows(a * b) - mean_a * mean_b
    alike = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    alike *= (2 * both + C2) / (spread_a + spread_b + C2)
    return np.mean((x - y) ** 2), np.mean((1 - alike) ** 4) ** 0.25
