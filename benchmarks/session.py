"""How the cases of a group are prepared, checked and timed, and become rows.

In this order: inputs are made on the host and copied to the device (`copy_s`); a jitted function is lowered
(`lower_s`) and compiled (`compile_s`); it runs for the first time (`first_call_s`) and its output is compared with the
oracle, and a wrong answer becomes an error row that is never timed; then the group is timed in turns (timing.py).
FLOPs and bytes are analytic, each with its rule in words. XLA counts the body of a scan once, so its own counts are
only a cross-check.
"""

from statistics import median
from typing import Any

import jax
import numpy as np

from minillm.errors import InputError

from . import device as devices
from . import roof
from .case import Case, Unavailable, disagreement, group_of, missing_package
from .timing import Clock, Task, describe, interleave

ROUNDINGS = 8  # of the factors of a product: the least tolerance, relative to the largest value of the output


class Session:
    """The state of one run: its device, its clock, and the peaks it has measured."""

    def __init__(self, device: jax.Device, clock: Clock, min_time: float, smoke: bool, calibrate: bool):
        self.device, self.clock = device, clock
        self.min_time, self.smoke, self.calibrate = min_time, smoke, calibrate
        # XLA:CPU runs independent calls at the same time, so waiting only at a batch's end would time a mixture of
        # them. A GPU or TPU runs one after the other, and waiting for each would leave its queue empty.
        self.wait_each = device.platform == "cpu"
        self.measured: dict[str, devices.Peak | None] = {}

    def run_group(self, cases: list[Case]) -> list[dict]:
        """Build and check the cases, time the right ones in turns, and give the rows of all."""
        rows = {case.name: self._blank(case) for case in cases}
        tasks: dict[str, Task] = {}
        for case in cases:
            row = rows[case.name]
            if (reason := missing_package(case)) is not None:
                row |= {"skipped": True, "skip_message": reason}
                continue
            try:
                tasks[case.name] = self._prepare(case, row)
            except Unavailable as reason:
                row |= {"skipped": True, "skip_message": describe(reason)}
            except Exception as error:
                row |= {"error_occurred": True, "error_message": describe(error)}
        readers: dict[str, Task] = {}
        if any(case.roof and case.name in tasks for case in cases):
            readers = roof.read_tasks(self.device, roof.SMOKE_BYTES if self.smoke else roof.READ_BYTES)
        everyone = [*tasks.values(), *readers.values()]
        interleave(everyone, clock=self.clock, min_time=self.min_time, smoke=self.smoke)
        for case in cases:
            if case.name in tasks:
                self._finish(case, rows[case.name], tasks, readers)
        return list(rows.values())

    def _blank(self, case: Case) -> dict:
        return {"name": case.name, "run_name": case.name, "run_type": "iteration", "group": group_of(case),
                "dtype": case.dtype, "on_host": case.on_host}  # fmt: skip

    def _prepare(self, case: Case, row: dict) -> Task:
        """Copy, lower, compile, run once and check: all that comes before timing."""
        function, args = case.make()
        jitted = hasattr(function, "lower")
        start = self.clock()
        if jitted:
            args = jax.block_until_ready(jax.tree.map(self._put, args))
        row["copy_s"] = self.clock() - start
        row |= dict.fromkeys(("lower_s", "compile_s", "flops_xla", "bytes_xla", "temporary_bytes"))
        task = Task(function, args, case.wait, self.wait_each, case.reset, case.steps)
        if jitted:
            self._compile(case, row, task)
        start = self.clock()
        output = task.whole()
        row["first_call_s"] = self.clock() - start
        row |= {"oracle": None, "tolerance": None, "max_abs_err": None, "max_rel_err": None}
        if case.oracle is not None:
            absolute, relative = disagreement(case.result(output), case.oracle())
            allowed = self._allowed(case)
            row |= {"oracle": case.oracle_name, "tolerance": allowed}
            if np.isfinite(absolute):  # JSON has no NaN
                row |= {"max_abs_err": absolute, "max_rel_err": relative}
            if not relative <= allowed:  # also where it is NaN
                raise InputError(
                    f"differs from {case.oracle_name} by {relative:.2g} of the largest value; "
                    f"at most {allowed:.2g} was allowed."
                )
        return task

    def _allowed(self, case: Case) -> float:
        """The case's tolerance, or eight roundings of this device's products if that is more; 0 stays exact."""
        elsewhere = case.on_host and self.device.platform != "cpu"
        kind = "cpu" if elsewhere else self.device.device_kind
        rounding = devices.rounding(kind, case.dtype, devices.matmul_precision())
        return case.tolerance and max(case.tolerance, ROUNDINGS * rounding)

    def _put(self, leaf: Any) -> Any:
        return jax.device_put(leaf, self.device) if isinstance(leaf, np.ndarray) else leaf

    def _compile(self, case: Case, row: dict, task: Task) -> None:
        state = () if task.reset is None else (task.reset(*task.args),)
        start = self.clock()
        lowered = task.function.lower(*task.args, *state)  # type: ignore[attr-defined]
        row["lower_s"] = self.clock() - start
        start = self.clock()
        compiled = lowered.compile()
        row["compile_s"] = self.clock() - start
        cost = compiled.cost_analysis() or {}
        row |= {"flops_xla": cost.get("flops"), "bytes_xla": cost.get("bytes accessed")}
        if (memory := compiled.memory_analysis()) is not None:
            row["temporary_bytes"] = memory.temp_size_in_bytes
        if row["flops_xla"] and case.flops_model and not 0.5 <= row["flops_xla"] / case.flops_model <= 2:
            text = lowered.as_text()
            if "stablehlo.while" not in text and "custom_call" not in text:  # there XLA counts too little
                counts = f"XLA counts {row['flops_xla']:.3g} FLOPs, our rule {case.flops_model:.3g}"
                row["flops_warning"] = f"{counts} ({case.flops_rule})."

    def _finish(self, case: Case, row: dict, tasks: dict[str, Task], readers: dict[str, Task]) -> None:
        """Statistics of the batches, the ratio to the peer, the utilisation."""
        task = tasks[case.name]
        if task.error is not None:
            row |= {"error_occurred": True, "error_message": task.error}
            return
        times = np.array(task.times)
        p10, middle, p90 = (float(q) for q in np.percentile(times * 1e3, (10, 50, 90)))
        row |= {"iterations": task.calls * len(times), "batches": len(times), "real_time": middle,
                "cpu_time": median(task.cpu_times) * 1e3, "time_unit": "ms", "p10": p10, "p90": p90,
                "min": float(times.min()) * 1e3,
                "items_per_second": case.items / middle * 1e3 if case.items and middle else None}  # fmt: skip
        peer = tasks.get(case.peer or "")
        if peer is not None and peer.error is None:
            low, ratio, high = (float(q) for q in np.percentile(times / np.array(peer.times), (10, 50, 90)))
            row |= {"peer": case.peer, "ratio": ratio, "ratio_p10": low, "ratio_p90": high}
        elif case.peer is not None:
            row["peer_skipped"] = f"no ratio: {case.peer} was skipped or failed."
        self._utilisation(case, row, middle / 1e3)
        if case.roof and any(reader.times for reader in readers.values()):
            num_bytes = roof.read_bytes(readers)
            bandwidth, reader = roof.best_read(readers, num_bytes)
            needed = np.array(reader.times) * case.bytes_min / num_bytes  # seconds at the roof, turn by turn
            row |= {"roof_fraction": float(np.median(needed / times)), "roof_bandwidth": bandwidth.value,
                    "roof_source": bandwidth.source}  # fmt: skip

    def _utilisation(self, case: Case, row: dict, seconds: float) -> None:
        elsewhere = case.on_host and self.device.platform != "cpu"  # then the device's peaks do not apply
        flops, width = (None, None) if elsewhere else self._peaks(case.dtype)
        mfu = case.flops_model / (seconds * flops.value) if case.flops_model and flops else None
        mbu = case.bytes_min / (seconds * width.value) if case.bytes_min and width else None
        bound = None
        if case.flops_model and case.bytes_min and flops and width:
            bound = "compute" if case.flops_model / flops.value > case.bytes_min / width.value else "memory"
        row |= {"flops_model": case.flops_model, "flops_rule": case.flops_rule, "bytes_min": case.bytes_min,
                "bytes_rule": case.bytes_rule, "peak_flops": flops and flops.value, "mfu": mfu,
                "peak_source": flops and flops.source, "peak_bandwidth": width and width.value, "mbu": mbu,
                "bandwidth_source": width and width.source, "roofline_bound": bound}  # fmt: skip

    def _peaks(self, dtype: str) -> tuple[devices.Peak | None, devices.Peak | None]:
        """Peaks from the table; else measured, with `calibrate`; else none."""
        kind = self.device.device_kind
        flops = devices.peak_flops(kind, dtype, devices.matmul_precision())
        width = devices.PEAK_BANDWIDTH.get(kind)
        if self.calibrate and flops is None:
            if dtype not in self.measured:
                self.measured[dtype] = roof.measured_matmul_flops(dtype, self.device)
            flops = self.measured[dtype]
        if self.calibrate and width is None:
            if "read" not in self.measured:
                self.measured["read"] = roof.measured_read_bandwidth(self.device)
            width = self.measured["read"]
        return flops, width
