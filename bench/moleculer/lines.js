"use strict";
// The lines that every process of the benchmark reads and writes.

const fs = require("fs");
const readline = require("readline");
const { ServiceBroker } = require("moleculer");

const cpu = () => {
	const u = process.cpuUsage();
	return (u.user + u.system) * 1000;
};

const write = report => fs.writeSync(1, JSON.stringify(report) + "\n");

// start runs a broker of Moleculer until the input ends. answer makes a result
// of a load.
exports.start = async (nodeID, services, waitFor, answer) => {
	const broker = new ServiceBroker({ nodeID, transporter: process.argv[2], logger: false });
	services.forEach(s => broker.createService(s));
	await broker.start();
	if (waitFor) await broker.waitForServices(waitFor, 20000);
	write({ cpu: cpu() });
	const lines = readline.createInterface({ input: process.stdin });
	for await (const line of lines) {
		const { load } = JSON.parse(line);
		const report = {};
		if (load && answer) report.result = await answer(broker, load, cpu);
		write({ ...report, cpu: cpu(), rss: process.memoryUsage().rss });
	}
	await broker.stop();
	process.exit(0);
};
