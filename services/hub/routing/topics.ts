/** Which patterns fit a topic, found without looking at each of them: a map for whole topics, a tree of segments for patterns. */
import { fitsText, isPattern, rest, segmentsOf, type Segment } from './glob.ts';

/** What is known of the topics that begin with the segments above. */
interface Node<Value> {
  readonly values: Set<Value>;
  readonly plain: Map<string, Node<Value>>;
  /** By the pattern of their segment. */
  readonly patterns: Map<string, Node<Value>>;
  /** Behind `**`: it takes any number of segments. */
  below: Node<Value> | undefined;
  readonly isBelow: boolean;
}

const newNode = <Value>(isBelow = false): Node<Value> => ({
  values: new Set(),
  plain: new Map(),
  patterns: new Map(),
  below: undefined,
  isBelow,
});

const pauseEvery = 200;

export class TopicIndex<Value> {
  private readonly whole = new Map<string, Set<Value>>();
  private readonly root = newNode<Value>();

  add(pattern: string, value: Value): void {
    if (isPattern(pattern)) {
      let node = this.root;
      for (const segment of segmentsOf(pattern)) node = childOf(node, segment) ?? addChild(node, segment);
      node.values.add(value);
      return;
    }
    const values = this.whole.get(pattern);
    if (values) values.add(value);
    else this.whole.set(pattern, new Set([value]));
  }

  delete(pattern: string, value: Value): void {
    if (isPattern(pattern)) {
      deleteBelow(this.root, segmentsOf(pattern), value);
      return;
    }
    const values = this.whole.get(pattern);
    values?.delete(value);
    if (values?.size === 0) this.whole.delete(pattern);
  }

  /** Those of the topic itself first; each once. `undefined` after every so many patterns that were compared: a place to pause. */
  *fitting(topic: string): Generator<Value | undefined> {
    yield* this.whole.get(topic) ?? [];
    if (isEmpty(this.root)) return;
    // All places in the tree where the segments so far may have led.
    let nodes = new Set<Node<Value>>();
    enter(nodes, this.root);
    let compared = 0;
    for (const segment of topic.split('.')) {
      const next = new Set<Node<Value>>();
      for (const node of nodes) {
        if (node.isBelow) next.add(node);
        const plain = node.plain.get(segment);
        if (plain) enter(next, plain);
        for (const [pattern, child] of node.patterns) {
          if (fitsText(pattern, segment)) enter(next, child);
          if ((compared += 1) % pauseEvery === 0) yield undefined;
        }
      }
      if (next.size === 0) return;
      nodes = next;
    }
    for (const node of nodes) yield* node.values;
  }
}

/** `**` may also take no segment. */
function enter<Value>(nodes: Set<Node<Value>>, node: Node<Value>): void {
  nodes.add(node);
  if (node.below) nodes.add(node.below);
}

const childOf = <Value>(node: Node<Value>, segment: Segment): Node<Value> | undefined =>
  segment === rest ? node.below : (isPattern(segment) ? node.patterns : node.plain).get(segment);

function addChild<Value>(node: Node<Value>, segment: Segment): Node<Value> {
  const child = newNode<Value>(segment === rest);
  if (segment === rest) node.below = child;
  else (isPattern(segment) ? node.patterns : node.plain).set(segment, child);
  return child;
}

/** Leaves no empty nodes behind. */
function deleteBelow<Value>(
  node: Node<Value>,
  [segment, ...further]: readonly Segment[],
  value: Value,
): void {
  if (segment === undefined) {
    node.values.delete(value);
    return;
  }
  const child = childOf(node, segment);
  if (!child) return;
  deleteBelow(child, further, value);
  if (!isEmpty(child)) return;
  if (segment === rest) node.below = undefined;
  else (isPattern(segment) ? node.patterns : node.plain).delete(segment);
}

const isEmpty = <Value>({ values, plain, patterns, below }: Node<Value>): boolean =>
  values.size === 0 && plain.size === 0 && patterns.size === 0 && below === undefined;
