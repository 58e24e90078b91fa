"""Program for mpiexec: measures Allreduce of gradients of several sizes. Prints lines "bytes seconds" (medians)."""

import statistics
import sys
import time

import numpy as np

from charlm.distributed.launch import join
from charlm.distributed.mpi import MPIRanks


def main(sizes: list[int], seconds: float) -> None:
    """Sum each size as training does, for about `seconds` and at least three times."""
    ranks = join()
    assert isinstance(ranks, MPIRanks)
    in_place, world = ranks._mpi.IN_PLACE, ranks._world
    for size in sizes:
        gradient = np.ones(size // 4, np.float32)
        times: list[float] = []
        while len(times) < 4 or world.bcast(sum(times) < seconds):
            gradient[:] = 1
            world.Barrier()
            begun = time.perf_counter()
            if ranks._several_machines:
                world.Iallreduce(in_place, gradient).Wait()
            else:
                world.Allreduce(in_place, gradient)
            times.append(time.perf_counter() - begun)
        assert (gradient == world.size).all()
        if ranks.first:
            sys.stdout.write(f"{size} {statistics.median(times[1:])}\n")  # the first one also opens connections


if __name__ == "__main__":
    main([int(size) for size in sys.argv[2:]], float(sys.argv[1]))
