import { execFile, execFileSync } from "node:child_process";
import { existsSync, globSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { EXIT, readConfiguration, runCli } from "@davpool/mcp-server";
import { parse as parseToml } from "smol-toml";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";

const folder = fileURLToPath(new URL(".", import.meta.url));
const root = fileURLToPath(new URL("../../", import.meta.url));
const run = promisify(execFile);

// Manifests of others have no types here, and a wrong guess fails the test as it should.
// oxlint-disable-next-line typescript/no-explicit-any
type Parsed = any;

const read = (name: string) => readFileSync(join(folder, name), "utf8");
const filesOf = (pattern: string) => globSync(pattern, { cwd: folder }).toSorted();

function yaml(name: string): Parsed {
  const [document, ...more] = parseAllDocuments(read(name), { merge: true });
  expect(more, `${name} is one document`).toEqual([]);
  expect(document?.errors).toEqual([]);
  return document?.toJS();
}

function parsed(name: string): Parsed {
  if (name.endsWith(".json")) return JSON.parse(read(name));
  return name.endsWith(".toml") ? parseToml(read(name)) : yaml(name);
}

function hasProgram(name: string): boolean {
  return (process.env.PATH ?? "").split(":").some((place) => existsSync(join(place, name)));
}

const CONFIGURATIONS = [
  "docker/config/davpool.config.ts",
  "kubernetes/davpool.config.yaml",
  "systemd/davpool.config.yaml",
] as const;

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "davpool-deployment-"));
});
afterAll(() => rm(scratch, { recursive: true }));

describe("every file", () => {
  test.each(filesOf("**/*.{json,yaml,toml}"))("%s parses", (name) => {
    expect(parsed(name)).toBeTypeOf("object");
  });

  test.each(CONFIGURATIONS)("%s is right", async (file) => {
    const { pools } = await readConfiguration({ file, directory: folder, environment: {} });
    expect(pools).toHaveLength(1);
    expect(pools[0]?.servers).toHaveLength(2);
  });

  test.each(filesOf("**/*").filter((name) => /\.\w+$|Dockerfile$|Caddyfile$/.test(name) && !name.endsWith(".test.ts")))(
    "%s names files that are there",
    (name) => {
      const text = read(name);
      for (const [, target = ""] of text.matchAll(/\]\(((?!https?:)[^)#]+)/g))
        expect(existsSync(join(folder, name, "..", target)), target).toBe(true);
    },
  );

  test.each(filesOf("**/*").filter((name) => /\.\w+$|Dockerfile$/.test(name) && !name.endsWith(".test.ts")))(
    "%s starts davpool as the command line allows",
    async (name) => {
      for (const [, line = ""] of read(name)
        .replaceAll(/[",[\]]+/g, " ")
        .matchAll(/\bserve( +--http .*)/g)) {
        const [, ...words] = line.trim().split(/ +/);
        const known = ["--host", "--port", "--config", "--watch", "--allow-anonymous", "--log-level"];
        for (const word of words) if (word.startsWith("--")) expect(known, line).toContain(word);
      }
      const silent = { out() {}, error() {} };
      expect(await runCli(["serve", "--help"], silent, new AbortController().signal)).toBe(EXIT.ok);
    },
  );
});

describe("Dockerfile", () => {
  const instructions = read("docker/Dockerfile")
    .replaceAll(/^#.*\n/gm, "")
    .replaceAll(/\\\n\s*/g, "")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => [line.split(" ", 1)[0] ?? "", line.slice(line.indexOf(" ") + 1)] as const);
  const stages = instructions.flatMap(([name], index) => (name === "FROM" ? [index] : []));
  const last = instructions.slice(stages.at(-1));
  const all = (name: string, within = last) => within.flatMap(([key, value]) => (key === name ? [value] : []));

  test("every stage is of a pinned image", () => {
    expect(stages).toHaveLength(2);
    for (const image of all("FROM", instructions)) expect(image).toMatch(/^node:24-slim( AS \w+)?$/);
  });

  test("nothing runs as root, and what runs cannot change itself", () => {
    expect(all("USER")).toEqual(["1000:1000"]);
    const afterwards = last.slice(last.findIndex(([name]) => name === "USER"));
    expect(afterwards.map(([name]) => name)).not.toContain("RUN");
    for (const copied of all("COPY")) expect(copied).toMatch(/^--from=install --chown=root:root /);
  });

  test("no secret reaches a layer", () => {
    expect(all("ADD", instructions)).toEqual([]);
    for (const [name, value] of instructions)
      if (["ENV", "ARG", "COPY"].includes(name)) expect(value).not.toMatch(/secret|password|token|key/i);
    const ignored = read("docker/.dockerignore").replaceAll(/^#.*\n/gm, "");
    expect(ignored.trim().split("\n")).toEqual(["*", "!*.tgz"]);
  });

  test("the process gets its signals itself", () => {
    const [entry] = all("ENTRYPOINT");
    expect((JSON.parse(entry ?? "") as string[])[0]).toBe("node");
    expect(all("CMD").map((command) => (JSON.parse(command) as string[])[0])).toEqual(["serve"]);
  });

  test("the health check asks the port that is served", () => {
    const [check = ""] = all("HEALTHCHECK");
    const [command = "", , script = ""] = JSON.parse(check.slice(check.indexOf("["))) as string[];
    expect(command).toBe("node");
    expect(script).toContain("http://127.0.0.1:8080/healthz");
    expect(() => execFileSync(process.execPath, ["--check", "-"], { input: script })).not.toThrow();
    expect(all("CMD")[0]).toContain('"--port", "8080"');
    expect(all("EXPOSE")[0]?.split(" ")).toContain("8080");
  });

  test("the folder of the store is the volume", () => {
    expect(all("VOLUME")).toEqual(["/var/lib/davpool"]);
    expect(read("docker/config/davpool.config.ts")).toContain('path: "/var/lib/davpool/servers.json"');
  });
});

describe("compose.yaml", () => {
  const compose = yaml("docker/compose.yaml");
  const services = Object.entries<Parsed>(compose.services);

  test("every mounted file is there, and every volume and secret is declared", () => {
    for (const [name, { volumes = [], secrets = [] }] of services) {
      for (const volume of volumes as string[]) {
        const [source = ""] = volume.split(":");
        if (source.startsWith(".")) expect(existsSync(join(folder, "docker", source)), `${name}: ${source}`).toBe(true);
        else expect(Object.keys(compose.volumes), name).toContain(source);
      }
      for (const secret of secrets) expect(Object.keys(compose.secrets), name).toContain(secret);
    }
  });

  test("secrets are files that the repository never holds", () => {
    for (const { file } of Object.values<Parsed>(compose.secrets)) expect(file).toMatch(/^\.\/secrets\/[\w-]+$/);
    expect(read("docker/secrets/.gitignore")).toMatch(/^\*\n!\.gitignore\n$/m);
    const asked = read("docker/config/davpool.config.ts").matchAll(/\/run\/secrets\/([\w-]+)/g);
    for (const [, secret] of asked) expect(compose.services.davpool.secrets).toContain(secret);
  });

  test("images have versions, and ports are open to this machine alone", () => {
    for (const [, { image, ports = [] }] of services) {
      expect(image).toMatch(/:v?\d[\w.-]*$/);
      for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:/);
    }
  });

  test("those who talk to each other name each other", () => {
    const { davpool } = compose.services;
    const names = Object.keys(compose.services);
    const config = read("docker/config/davpool.config.ts");
    for (const [, host] of config.matchAll(/url: "http:\/\/([\w-]+)\//g)) expect(names).toContain(host);
    expect(davpool.environment.OTEL_EXPORTER_OTLP_ENDPOINT).toBe("http://collector:4318");
    expect(yaml("docker/compose/collector.yaml").receivers.otlp.protocols.http.endpoint).toMatch(/:4318$/);
    expect(yaml("docker/compose/prometheus.yaml").scrape_configs[0].static_configs[0].targets).toEqual([
      `davpool:${davpool.environment.OTEL_EXPORTER_PROMETHEUS_PORT}`,
    ]);
    expect(yaml("docker/compose/grafana/datasources.yaml").datasources[0].url).toBe("http://prometheus:9090");
  });

  test("Prometheus and Grafana find the rules and the dashboard where they are mounted", () => {
    const targets = (name: string) => (compose.services[name].volumes as string[]).map((line) => line.split(":")[1]);
    for (const file of yaml("docker/compose/prometheus.yaml").rule_files) expect(targets("prometheus")).toContain(file);
    const [{ options }] = yaml("docker/compose/grafana/dashboards.yaml").providers;
    expect(targets("grafana").some((target) => target?.startsWith(`${options.path}/`))).toBe(true);
  });

  test("the collector's pipelines use what is defined", () => {
    const { service, ...parts } = yaml("docker/compose/collector.yaml");
    for (const pipeline of Object.values<Parsed>(service.pipelines))
      for (const [kind, names] of Object.entries<Parsed>(pipeline))
        for (const name of names) expect(Object.keys(parts[kind]), kind).toContain(name);
  });

  test.skipIf(!hasProgram("apache2"))("Apache takes the configuration of the WebDAV servers", async () => {
    const modules = "/usr/lib/apache2/modules";
    const lines = read("docker/compose/httpd.conf").replaceAll(
      /^LoadModule (\w+) modules\/(\S+)$/gm,
      // Debian builds some of them in.
      (_line, name: string, file: string) =>
        existsSync(join(modules, file)) ? `LoadModule ${name} ${join(modules, file)}` : "",
    );
    const file = join(scratch, "httpd.conf");
    await writeFile(
      file,
      lines
        .replace("conf/mime.types", "/etc/mime.types")
        .replace(/^ServerRoot .*$/m, `ServerRoot "${scratch}"`)
        .replaceAll("/srv/dav", scratch)
        .replace(/^Listen 80$/m, "Listen 8099"),
    );
    const { stderr } = await run("apache2", ["-t", "-d", scratch, "-f", file]);
    expect(stderr).toContain("Syntax OK");
  });
});

describe("kubernetes", () => {
  const kustomization = yaml("kubernetes/kustomization.yaml");
  const manifests = (kustomization.resources as string[]).map((name) => yaml(`kubernetes/${name}`));
  const ofKind = (kind: string): Parsed => manifests.find((manifest) => manifest.kind === kind);
  const { template, ...deployment } = ofKind("Deployment").spec;
  const pod = template.spec;
  const [container] = pod.containers;
  const portNames = container.ports.map(({ name }: Parsed) => name) as string[];

  test("every manifest is listed, and every listed one is there", () => {
    const known: string[] = [...kustomization.resources, "kustomization.yaml", "davpool.config.yaml"];
    expect(filesOf("kubernetes/*").map((name) => name.slice("kubernetes/".length))).toEqual(known.toSorted());
  });

  test("selectors find the pods", () => {
    for (const selector of [
      deployment.selector.matchLabels,
      ofKind("Service").spec.selector,
      ofKind("PodDisruptionBudget").spec.selector.matchLabels,
      ofKind("NetworkPolicy").spec.podSelector.matchLabels,
      pod.topologySpreadConstraints[0].labelSelector.matchLabels,
    ])
      expect(template.metadata.labels).toMatchObject(selector);
  });

  test("probes and ports lead to what davpool serves", () => {
    const paths = { startupProbe: "/healthz", livenessProbe: "/healthz", readinessProbe: "/readyz" };
    for (const [probe, path] of Object.entries(paths)) expect(container[probe].httpGet).toEqual({ path, port: "http" });
    const ports = Object.fromEntries(container.ports.map((port: Parsed) => [port.name, String(port.containerPort)]));
    expect(container.args[container.args.indexOf("--port") + 1]).toBe(ports.http);
    const variable = (name: string) => container.env.find((entry: Parsed) => entry.name === name)?.value;
    expect(variable("OTEL_EXPORTER_PROMETHEUS_PORT")).toBe(ports.metrics);

    const service = ofKind("Service");
    for (const { targetPort } of service.spec.ports) expect(portNames).toContain(targetPort);
    for (const { backend } of ofKind("Ingress").spec.rules[0].http.paths) {
      expect(backend.service.name).toBe(service.metadata.name);
      expect(service.spec.ports.map(({ name }: Parsed) => name)).toContain(backend.service.port.name);
    }
    for (const { ports: allowed } of ofKind("NetworkPolicy").spec.ingress)
      for (const { port } of allowed) expect(portNames).toContain(port);
  });

  test("what is mounted exists, and the configuration names what is mounted", () => {
    const volume = (name: string) => pod.volumes.find((entry: Parsed) => entry.name === name);
    const mountOf = (name: string): Parsed => container.volumeMounts.find((entry: Parsed) => entry.name === name);
    const [generated] = kustomization.configMapGenerator;
    expect(volume("config").configMap.name).toBe(generated.name);
    for (const { key } of volume("config").configMap.items) expect(generated.files).toContain(key);
    const file = container.args[container.args.indexOf("--config") + 1];
    expect(file).toBe(`${mountOf("config").mountPath}/${volume("config").configMap.items[0].path}`);

    const secret = ofKind("Secret");
    expect(volume("secrets").secret.secretName).toBe(secret.metadata.name);
    const mounted = volume("secrets").secret.items.map(
      (item: Parsed) => `${mountOf("secrets").mountPath}/${item.path}`,
    );
    for (const { key } of volume("secrets").secret.items) expect(Object.keys(secret.stringData)).toContain(key);
    const { pools } = yaml("kubernetes/davpool.config.yaml");
    const wanted = pools.files.servers.map((server: Parsed) => server.password.file);
    expect(wanted.toSorted()).toEqual(mounted.toSorted());
    for (const { subPath } of container.volumeMounts) expect(subPath).toBeUndefined();
  });

  test("secrets are placeholders", () => {
    expect(new Set(Object.values(ofKind("Secret").stringData))).toEqual(new Set(["replace-me"]));
  });

  test("the pod may do nothing it need not", () => {
    expect(pod).toMatchObject({
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
    });
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
  });

  test("it is given the time to end", () => {
    const { http } = yaml("kubernetes/davpool.config.yaml");
    const drain = ((http.drain as number | undefined) ?? 10_000) / 1_000;
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(container.lifecycle.preStop.sleep.seconds + drain);
  });

  test("a disruption leaves a replica", () => {
    expect(ofKind("PodDisruptionBudget").spec.minAvailable).toBeLessThan(deployment.replicas);
  });

  test.skipIf(!hasProgram("kubectl"))("kustomize puts it together", async () => {
    const { stdout } = await run("kubectl", ["kustomize", join(folder, "kubernetes")]);
    const kinds = parseAllDocuments(stdout).map((document) => String(document.toJS().kind));
    expect(kinds.toSorted()).toEqual([...manifests.map(({ kind }) => String(kind)), "ConfigMap"].toSorted());
  });
});

describe("systemd", () => {
  const unit = read("systemd/davpool.service");
  const settings = (name: string) => [...unit.matchAll(new RegExp(`^${name}=(.*)$`, "gm"))].map(([, value]) => value);

  test("the configuration names the credentials that are loaded", () => {
    const loaded = settings("LoadCredential").map((value) => value?.split(":")[0]);
    const { pools } = yaml("systemd/davpool.config.yaml");
    expect(pools.files.servers.map((server: Parsed) => server.password.file)).toEqual(
      loaded.map((name) => `/run/credentials/davpool.service/${name}`),
    );
  });

  test("mistakes of the configuration and of the command line do not loop", () => {
    expect(settings("Restart")).toEqual(["on-failure"]);
    expect(settings("RestartPreventExitStatus")).toEqual([`${EXIT.configuration} ${EXIT.usage}`]);
    expect(settings("ExecReload")).toEqual(["/bin/kill -HUP $MAINPID"]);
  });

  test.skipIf(!hasProgram("systemd-analyze"))("systemd takes the unit", async () => {
    const file = join(scratch, "davpool.service");
    await writeFile(file, unit.replace(/^ExecStart=\S+/m, `ExecStart=${process.execPath}`));
    const { stdout, stderr } = await run("systemd-analyze", ["verify", file]);
    expect(stdout + stderr).toBe("");
  });
});

describe("proxies", () => {
  test.skipIf(!hasProgram("nginx") || !hasProgram("openssl"))("nginx takes its configuration", async () => {
    const [key, certificate] = [join(scratch, "key.pem"), join(scratch, "certificate.pem")];
    const request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    await run("openssl", [...request, "-subj", "/CN=test", "-days", "1", "-keyout", key, "-out", certificate]);
    const site = read("proxies/nginx.conf")
      .replace(/ssl_certificate .*;/, `ssl_certificate ${certificate};`)
      .replace(/ssl_certificate_key .*;/, `ssl_certificate_key ${key};`)
      .replace("listen 443", "listen 127.0.0.1:8443");
    const file = join(scratch, "nginx.conf");
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    await writeFile(
      file,
      [
        `pid ${scratch}/nginx.pid; error_log stderr; events {} http { access_log off;`,
        ...temporary.map((name) => `${name}_temp_path ${scratch}/${name};`),
        `${site} }`,
      ].join("\n"),
    );
    const { stderr } = await run("nginx", ["-t", "-p", scratch, "-c", file]);
    expect(stderr).toContain("test is successful");
    expect(stderr).not.toContain("[warn]");
  });

  test.skipIf(!hasProgram("caddy"))("Caddy takes its configuration", async () => {
    const { stderr } = await run("caddy", ["adapt", "--validate", "--config", join(folder, "proxies/Caddyfile")]);
    expect(stderr).not.toContain("Error");
  });

  test("both let streams through, and hide what is the operator's", () => {
    const [nginx, caddy] = [read("proxies/nginx.conf"), read("proxies/Caddyfile")];
    for (const line of ["proxy_buffering off;", "proxy_read_timeout 1h;", "proxy_set_header Host $host;"])
      expect(nginx).toContain(line);
    expect(caddy).toContain("flush_interval -1");
    expect(nginx.split("{").length).toBe(nginx.split("}").length);
    expect(caddy.split("{").length).toBe(caddy.split("}").length);
    for (const text of [nginx, caddy]) expect(text.replaceAll(/#.*/g, "")).not.toMatch(/healthz|readyz|metrics/);
  });
});

describe("clients", () => {
  const names = filesOf("clients/*.{json,yaml,toml}");

  /** The one server that a file declares, under whichever key its client wants. */
  function entryOf(name: string): Parsed {
    const { mcpServers, servers, context_servers: zed, mcp_servers: codex } = parsed(name);
    const found = mcpServers ?? servers ?? zed ?? codex;
    return Array.isArray(found) ? found[0] : found.files;
  }

  test.each(names.filter((name) => name.includes(".stdio.")))("%s starts davpool", (name) => {
    const { command, args } = entryOf(name);
    expect([command, ...args]).toEqual([
      "npx",
      "--yes",
      "@davpool/mcp-server",
      "serve",
      "--config",
      "/home/alice/davpool.config.yaml",
    ]);
  });

  test.each(names.filter((name) => name.includes(".http.")))("%s goes to the endpoint with a token", (name) => {
    const text = JSON.stringify(entryOf(name));
    expect(text).toContain('"https://files.example.com/mcp"');
    expect(text).toMatch(/Bearer (\$|dvp_your-token)|"bearer_token_env_var":"DAVPOOL_TOKEN"/);
    // Whoever copies a file with a placeholder is told that it becomes a secret.
    if (text.includes("dvp_")) expect(read("clients/README.md")).toContain("keep it out of repositories");
  });

  test("the list names every file", () => {
    for (const name of names) expect(read("clients/README.md")).toContain(`(${relative("clients", name)})`);
  });
});

describe("the guide", () => {
  const page = join(root, "docs/guides/deploying.md");
  const text = readFileSync(page, "utf8");

  test("links to files that are there", () => {
    for (const [, target = ""] of text.matchAll(/\]\(((?!https?:)[^)#]+)/g))
      expect(existsSync(join(page, "..", target)), target).toBe(true);
  });

  test("shows YAML that parses, and folders that are there", () => {
    for (const [, block = ""] of text.matchAll(/^```yaml\n(.*?)^```$/gms))
      for (const { errors } of parseAllDocuments(block)) expect(errors).toEqual([]);
    for (const [, path = ""] of text.matchAll(/^\$ .*?(examples\/\S+)/gm))
      expect(existsSync(join(root, path)), path).toBe(true);
  });
});
