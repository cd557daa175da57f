"use strict";
// The service of Moleculer in the benchmark.

require("./lines").start("service", [{ name: "echo", actions: { call: ctx => ctx.params } }]);
