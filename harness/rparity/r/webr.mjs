// The Node program behind `webr.py`: it starts webR and answers requests, one a line.
//
// The first line of the output is {"versions": ...} or {"problem": ...}. A request is the base 64 of
// what the R function `step` of webr.R reads, and the answer {"answer": ..., "output": ...}, with the
// base 64 of what `step` wrote and what R printed.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import path from "node:path";

const [scripts, working] = [process.argv.slice(2, 5), process.cwd()];
const say = (message) => process.stdout.write(JSON.stringify(message) + "\n");

let webR;
try {
  const places = [working, ...(process.env.RPARITY_WEBR ? [process.env.RPARITY_WEBR] : [])];
  const resolve = (name) => {
    let last;
    for (const place of places) {
      try { return createRequire(path.join(place, "x.js")).resolve(name); } catch (error) { last = error; }
    }
    throw last;
  };
  const { WebR } = await import(pathToFileURL(resolve("webr")));
  webR = new WebR({ interactive: false, REnv: { LANGUAGE: "en", TZ: "UTC", R_HOME: "/usr/lib/R" } });
  await webR.init();
  await webR.FS.mkdir("/host");
  await webR.FS.mount("NODEFS", { root: "/" }, "/host");
  await webR.evalRVoid(`setwd(${JSON.stringify("/host" + working)})`);
  const [prelude, objects, step] = scripts.map((file) => JSON.stringify("/host" + file));
  await webR.evalRVoid(`local({
    prelude <- eval(parse(${prelude}, encoding = "UTF-8", keep.source = FALSE), baseenv())
    prelude$learn(eval(parse(${objects}, encoding = "UTF-8", keep.source = FALSE), baseenv()))
    step <- eval(parse(${step}, encoding = "UTF-8", keep.source = FALSE), baseenv())
    assign(".rparity", function() step(prelude), envir = globalenv())
  })`);
  await webR.flush();
  say({ ready: true });
} catch (error) {
  say({ problem: [error.code ?? error.name, String(error.message).split("\n")[0]] });
  process.exit(1);
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    await webR.FS.writeFile("/tmp/rparity-request", Buffer.from(line, "base64"));
    await webR.evalRVoid(".rparity()");
    const answer = Buffer.from(await webR.FS.readFile("/tmp/rparity-answer")).toString("base64");
    const printed = (await webR.flush()).filter(({ type }) => type === "stdout" || type === "stderr");
    say({ answer, output: printed.map(({ data }) => data + "\n").join("") });
  } catch (error) {
    // R called quit(): the end of this process says so.
    if (error.name === "ExitStatus") process.exit(Number(/exit\((\d+)\)/.exec(error.message)?.[1] ?? 1));
    say({ problem: [error.name, String(error.message).split("\n")[0]] });
    process.exit(1);
  }
}
process.exit(0);
