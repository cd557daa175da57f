// Reads an AsyncAPI document from standard input and prints what is wrong with
// it, one line each.
import { Parser } from "@asyncapi/parser";
import { text } from "node:stream/consumers";

const { document, diagnostics } = await new Parser().parse(await text(process.stdin));
for (const d of diagnostics)
	if (d.severity === 0) console.log(`${d.path.join(".")}: ${d.message}`);
if (!document) console.log("no document");
