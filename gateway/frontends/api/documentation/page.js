// Shows /v1/openapi.json and sends requests. Texts become text nodes only: nothing is parsed as HTML.

const DESCRIPTION = "/v1/openapi.json";
const DEPTH_MAX = 4;

const byId = (id) => document.getElementById(id);

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function resolver(description) {
  return function resolve(schema) {
    if (!schema || !schema.$ref) return schema || {};
    return schema.$ref.slice(2).split("/").reduce((part, name) => part[name], description);
  };
}

// A type in words: "string, 1 to 64 characters".
function kindOf(schema, resolve) {
  const found = resolve(schema);
  const choices = found.anyOf || found.oneOf;
  if (choices) return [...new Set(choices.map((one) => kindOf(one, resolve)))].join(" or ");
  if (found.const !== undefined) return JSON.stringify(found.const);
  if (found.enum) {
    const some = found.enum.slice(0, 12).join(", ");
    return found.enum.length > 12 ? `one of ${some}, …` : `one of ${some}`;
  }
  if (found.type === "array") return `list of ${kindOf(found.items, resolve)}`;
  const words = [found.type || (found.properties ? "object" : "any")];
  if (found.format) words.push(found.format);
  if (found.minimum !== undefined || found.maximum !== undefined) {
    words.push(`${found.minimum ?? "…"} to ${found.maximum ?? "…"}`);
  }
  if (found.minLength !== undefined || found.maxLength !== undefined) {
    words.push(`${found.minLength ?? 0} to ${found.maxLength ?? "…"} characters`);
  }
  if (found.default !== undefined && found.default !== null && found.default !== "") {
    words.push(`default ${JSON.stringify(found.default)}`);
  }
  return words.join(", ");
}

function objectIn(schema, resolve) {
  const found = resolve(schema);
  if (found.properties) return found;
  if (found.items) return objectIn(found.items, resolve);
  for (const one of found.anyOf || found.oneOf || []) {
    const inner = objectIn(one, resolve);
    if (inner) return inner;
  }
  return null;
}

function fieldRow(name, schema, needed, resolve, depth, more = "") {
  const found = resolve(schema);
  const inner = depth < DEPTH_MAX ? objectIn(schema, resolve) : null;
  return make("div", { className: "field" },
    make("div", { className: "name" }, make("code", {}, name),
      needed ? make("span", { className: "need" }, "required") : null),
    make("div", {}, make("div", { className: "kind" }, kindOf(schema, resolve)),
      more || found.description ? make("div", {}, more || found.description) : null),
    inner ? fieldsOf(inner, resolve, depth + 1) : null);
}

function fieldsOf(schema, resolve, depth = 0) {
  const needed = new Set(schema.required || []);
  return make("div", { className: "fields" },
    ...Object.entries(schema.properties).map(([name, one]) =>
      fieldRow(name, one, needed.has(name), resolve, depth)));
}

function contentOf(holder) {
  return Object.entries((holder && holder.content) || {})[0] || [null, null];
}

function answersOf(operation, resolve) {
  const good = [], others = [];
  for (const [status, answer] of Object.entries(operation.responses || {})) {
    if (status >= "400") {
      others.push(status);
      continue;
    }
    const [form, content] = contentOf(answer);
    const inner = content && objectIn(content.schema, resolve);
    const title = make("span", {}, make("code", {}, status), ` ${answer.description || ""} `,
      form ? make("span", { className: "kind" }, form) : null);
    good.push(inner ? make("details", {}, make("summary", {}, title), fieldsOf(inner, resolve)) : make("div", {}, title));
  }
  return make("div", { className: "answers" }, ...good,
    others.length ? make("p", { className: "others" }, `Problem documents: ${others.join(", ")}. `,
      make("a", { href: "/v1/problems" }, "All types")) : null);
}

function newKey() {
  const octets = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(octets, (one) => one.toString(16).padStart(2, "0")).join("");
}

function inputFor(parameter, resolve) {
  const schema = resolve(parameter.schema);
  const choices = schema.enum || (schema.anyOf || []).map(resolve).find((one) => one.enum)?.enum;
  if (choices) {
    return make("select", {}, ...(parameter.required ? [] : [make("option", { value: "" }, "")]),
      ...choices.filter((one) => one !== "").map((one) => make("option", { value: one }, one)));
  }
  const value = parameter.name === "Idempotency-Key" ? newKey() : parameter.required ? parameter.example ?? "" : "";
  return make("input", { type: "text", value, autocomplete: "off", spellcheck: false,
    placeholder: schema.default ? String(schema.default) : "" });
}

function tryOut(method, path, operation, resolve) {
  const inputs = (operation.parameters || []).map((parameter) => [parameter, inputFor(parameter, resolve)]);
  const [form, content] = contentOf(operation.requestBody);
  const example = content && (Object.values(content.examples || {})[0] || {}).value;
  const body = form ? make("textarea", { value: example ? JSON.stringify(example, null, 2) : "", spellcheck: false }) : null;
  const output = make("pre", { hidden: true, "aria-live": "polite" });
  const button = make("button", { type: "button" }, "Send");
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      output.textContent = await send(method, path, inputs, form, body);
    } catch (error) {
      output.textContent = `The request did not arrive: ${error.message}`;
    }
    output.hidden = false;
    button.disabled = false;
  });
  return make("div", { className: "try" }, make("h4", {}, "Send a request"),
    make("div", { className: "inputs" },
      ...inputs.map(([parameter, input]) => make("label", {}, parameter.name, input)),
      body ? make("label", { className: "wide" }, `Body, ${form}`, body) : null),
    button, output);
}

async function send(method, path, inputs, form, body) {
  const query = new URLSearchParams(), headers = {};
  let target = path;
  for (const [parameter, input] of inputs) {
    if (input.value === "" && parameter.in !== "path") continue;
    if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    else if (parameter.in === "query") query.append(parameter.name, input.value);
    else headers[parameter.name] = input.value;
  }
  if (byId("token").value) headers.Authorization = `Bearer ${byId("token").value}`;
  if (form) headers["Content-Type"] = form;
  const asked = query.size ? `${target}?${query}` : target;
  const answer = await fetch(asked, { method: method.toUpperCase(), headers, body: body ? body.value : undefined });
  const text = await answer.text();
  const shown = ["content-type", "etag", "retry-after", "idempotent-replayed"]
    .filter((name) => answer.headers.has(name)).map((name) => `${name}: ${answer.headers.get(name)}`);
  let pretty = text;
  try {
    pretty = JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    // not JSON: as it came
  }
  return [`${answer.status} ${answer.statusText}`.trim(), ...shown, "", pretty].join("\n");
}

function operationOf(method, path, operation, resolve, isEvent) {
  const [, content] = contentOf(operation.requestBody);
  const parameters = operation.parameters || [];
  const bodies = content ? [resolve(content.schema)].flatMap((one) => one.anyOf || one.oneOf || [one])
    .map((one) => objectIn(one, resolve)).filter(Boolean) : [];
  return make("details", { className: "operation", id: operation.operationId },
    make("summary", {},
      make("span", { className: `method ${isEvent ? "event" : method}` }, isEvent ? "EVENT" : method.toUpperCase()),
      make("span", { className: "path" }, path), make("span", { className: "says" }, operation.summary || "")),
    make("div", { className: "inside" },
      ...(operation.description ? operation.description.split(/\n\s*\n/) : [])
        .map((text) => make("p", {}, text.replace(/\s+/g, " ").replaceAll("`", ""))),
      ...(parameters.length ? [make("h4", {}, "Parameters"), make("div", { className: "fields" },
        ...parameters.map((one) => fieldRow(one.name, one.schema, one.required, resolve, DEPTH_MAX,
          [one.description, `in the ${one.in}`].filter(Boolean).join("; "))))] : []),
      ...bodies.flatMap((one, number) => [
        make("h4", {}, bodies.length > 1 ? `Body, form ${number + 1}` : "Body"), fieldsOf(one, resolve)]),
      make("h4", {}, "Answers"), answersOf(operation, resolve),
      isEvent ? null : tryOut(method, path, operation, resolve)));
}

function show(description) {
  const resolve = resolver(description);
  byId("title").textContent = description.info.title;
  byId("version").textContent = description.info.version;
  byId("summary").textContent = description.info.summary || "";
  const tags = new Map();
  const add = (tag, element, operation) => {
    if (!tags.has(tag)) tags.set(tag, []);
    tags.get(tag).push([element, operation]);
  };
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      add(operation.tags[0], operationOf(method, path, operation, resolve, false), operation);
    }
  }
  for (const [name, methods] of Object.entries(description.webhooks || {})) {
    add("webhooks", operationOf("post", name, methods.post, resolve, true), methods.post);
  }
  for (const [tag, operations] of tags) {
    byId("contents").append(make("h2", {}, tag),
      ...operations.map(([element, operation]) => make("a", { href: `#${element.id}` }, operation.summary)));
    byId("operations").append(make("section", { className: "tag" }, make("h2", {}, tag),
      ...operations.map(([element]) => element)));
  }
  openNamed();
}

function openNamed() {
  const element = location.hash && byId(decodeURIComponent(location.hash.slice(1)));
  if (element && "open" in element) {
    element.open = true;
    element.scrollIntoView();
  }
}

addEventListener("hashchange", openNamed);
byId("access").addEventListener("submit", (event) => event.preventDefault());
fetch(DESCRIPTION).then((answer) => answer.json()).then(show).catch((error) => {
  byId("title").textContent = "The description cannot be read";
  byId("summary").textContent = error.message;
});
