/** One condition of an `If` header (RFC 4918, section 10.4). */
interface IfCondition {
  readonly not: boolean;
  readonly kind: "token" | "etag";
  readonly value: string;
}

/** Conditions that must all hold, for the tagged resource or (without a tag) for the request's own. */
export interface IfList {
  /** The URL of a tagged list, as sent. */
  readonly resource?: string;
  readonly conditions: readonly IfCondition[];
}

/** What the conditions are checked against. */
export interface IfSubject {
  hasToken(token: string): boolean;
  hasEtag(etag: string): boolean;
}

/** Parses an `If` header; undefined when it is malformed. */
export function parseIfHeader(header: string): IfList[] | undefined {
  const lists: IfList[] = [];
  let rest = header.trim();
  let resource: string | undefined;
  while (rest !== "") {
    const tag = /^<([^>]*)>\s*/.exec(rest);
    if (tag !== null) {
      // A header is tagged as a whole or not at all.
      if (resource === undefined && lists.length > 0) return undefined;
      resource = tag[1] ?? "";
      rest = rest.slice(tag[0].length);
    }
    const list = /^\(((?:\s*(?:not\b\s*)?(?:<[^>]*>|\[(?:W\/)?"[^"]*"\]))+)\s*\)\s*/i.exec(rest);
    if (list === null) return undefined;
    const conditions = parseConditions(list[1] ?? "");
    lists.push(resource === undefined ? { conditions } : { resource, conditions });
    rest = rest.slice(list[0].length);
  }
  return lists.length > 0 ? lists : undefined;
}

function parseConditions(text: string): IfCondition[] {
  return [...text.matchAll(/(not\b\s*)?(?:<([^>]*)>|\[([^\]]*)\])/gi)].map(([, not, token, etag]) => ({
    not: not !== undefined,
    kind: token === undefined ? "etag" : "token",
    value: token ?? etag ?? "",
  }));
}

/** Whether one of the lists holds. `subjectOf` gives undefined for a URL of another server, where nothing holds. */
export function evaluateIf(
  lists: readonly IfList[],
  subjectOf: (resource: string | undefined) => IfSubject | undefined,
): boolean {
  return lists.some((list) => {
    const subject = subjectOf(list.resource);
    return list.conditions.every((condition) => holds(condition, subject) !== condition.not);
  });
}

function holds(condition: IfCondition, subject: IfSubject | undefined): boolean {
  if (subject === undefined) return false;
  return condition.kind === "token" ? subject.hasToken(condition.value) : subject.hasEtag(condition.value);
}

/** Every lock token named anywhere in the header: naming it submits it (RFC 4918, section 10.4.1). */
export function submittedTokens(lists: readonly IfList[]): Set<string> {
  const conditions = lists.flatMap((list) => list.conditions);
  return new Set(conditions.filter(({ kind }) => kind === "token").map(({ value }) => value));
}
