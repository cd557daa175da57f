"use strict";
// The client of Moleculer in the benchmark: the loads of load.go.

const now = () => Number(process.hrtime.bigint());
const maxFailed = 100;

require("./lines").start("client", [], ["echo"], async (broker, load, cpu) => {
	const params = { text: "x".repeat(load.size) };
	const times = [];
	let failed = 0, error = "";

	const call = async due => {
		try {
			const res = await broker.call("echo.call", params);
			if (res.text.length !== load.size) throw new Error("not what was sent came back");
			times.push(now() - due);
		} catch (err) {
			failed++;
			error = error || err.message;
		}
	};

	const closed = async () => {
		const end = now() + load.duration;
		const caller = async () => {
			for (let at = now(); at < end && failed < maxFailed; at = now()) await call(at);
		};
		await Promise.all(Array.from({ length: load.inflight }, caller));
		return 0;
	};

	const open = async () => {
		const total = Math.floor(load.rate * load.duration / 1e9);
		const start = now(), running = new Set();
		let n = 0;
		while (n < total && now() - start < load.duration * 2 && failed < maxFailed) {
			for (let due; n < total && (due = start + n / load.rate * 1e9) <= now(); n++) {
				const one = call(due).then(() => running.delete(one));
				running.add(one);
			}
			await new Promise(wake => setTimeout(wake, 1)); // as exact as timers are here
		}
		await Promise.all(running);
		return total - n;
	};

	const before = cpu(), start = now();
	const behind = await (load.rate > 0 ? open() : closed());
	const elapsed = now() - start, used = cpu() - before;
	times.sort((a, b) => a - b);
	const at = q => times.length ? Math.round(times[Math.min(times.length - 1, Math.floor(times.length * q))]) : 0;
	return {
		calls: times.length, failed, error, elapsed: Math.round(elapsed), cpu: Math.round(used), mallocs: -1,
		p50: at(0.5), p99: at(0.99), p999: at(0.999), behind,
	};
});
