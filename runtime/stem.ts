/**
 * The stemming algorithm of M. F. Porter, "An algorithm for suffix stripping", Program 14(3), 1980, behind tables of what
 * no suffix rule can reach: irregular forms, and the short and other forms that people write of one word.
 */

const irregularForms = `
be am are been is was were|become became|begin began begun|bend bent|bite bit bitten|blow blew blown|break broke broken|
bring brought|build built|burn burnt|buy bought|catch caught|choose chose chosen|come came|deal dealt|dig dug|do did done|
draw drew drawn|dream dreamt|drink drank drunk|drive drove driven|eat ate eaten|fall fell fallen|feed fed|feel felt|
fight fought|find found|fly flew flown|forget forgot forgotten|forgive forgave forgiven|freeze froze frozen|
get got gotten|give gave given|go gone went|grow grew grown|hang hung|have had has|hear heard|hide hid hidden|hold held|
keep kept|know knew known|lead led|learn learnt|leave left|lend lent|light lit|lose lost|make made|mean meant|meet met|
pay paid|ride rode ridden|ring rang rung|rise rose risen|run ran|say said|see saw seen|seek sought|sell sold|send sent|
shake shook shaken|shoot shot|show shown|sing sang sung|sink sank sunk|sit sat|sleep slept|speak spoke spoken|spend spent|
stand stood|steal stole stolen|stick stuck|strike struck|swear swore sworn|swim swam swum|take took taken|teach taught|
tear tore torn|tell told|think thought|throw threw thrown|understand understood|wake woke woken|wear wore worn|win won|
write written wrote|child children|foot feet|half halves|knife knives|leaf leaves|life lives|man men|mouse mice|
person people|tooth teeth|wife wives|woman women`;

// Talk shortens what questions spell out. Only words that mean the same nearly always: "app" and "doc" do not.
const otherForms = `
mother mom mum mommy mummy mama|father dad daddy papa|grandmother grandma granny gran nana|grandfather grandpa granddad|
child kid kiddo|brother bro|sister sis|husband hubby|family fam|photograph photo pic|telephone phone|television tv telly|
refrigerator fridge|vegetable veggie veg|examination exam|laboratory lab|information info|advertisement ad advert|
bicycle bike|airplane aeroplane plane|favorite favourite fave fav|birthday bday|conversation convo|education edu|
university uni|mathematics math|dormitory dorm|dinosaur dino|vacation vacay|comfortable comfy|puppy pup|
congratulations congrats|microphone mic|configuration config|repository repo|database db|administrator admin|
environment env|specification spec|parameter param|directory dir|
color colour|neighbor neighbour|neighborhood neighbourhood|behavior behaviour|honor honour|humor humour|labor labour|
rumor rumour|flavor flavour|harbor harbour|center centre|theater theatre|meter metre|liter litre|fiber fibre|gray grey|
jewelry jewellery|tire tyre|program programme|license licence|defense defence|pajamas pyjamas|
mustache moustache|doughnut donut|cozy cosy|catalog catalogue|dialog dialogue`;

const baseForms = basesOf(irregularForms);
const fullForms = basesOf(otherForms);
const fullForm = (word: string, otherwise = word) => fullForms.get(word) ?? otherwise;

function basesOf(groups: string): ReadonlyMap<string, string> {
  return new Map(
    groups.split('|').flatMap((group) => {
      const [base = '', ...forms] = group.trim().split(' ');
      return forms.map((form) => [form, base] as const);
    }),
  );
}

// Porter's measure m counts the vowel-consonant sequences of a stem.
const consonants = '[^aeiou][^aeiouy]*';
const vowels = '[aeiouy][aeiou]*';
const measureOver0 = new RegExp(`^(?:${consonants})?${vowels}${consonants}`);
const measureOver1 = new RegExp(`^(?:${consonants})?(?:${vowels}${consonants}){2}`);
const measureIs1 = new RegExp(`^(?:${consonants})?${vowels}${consonants}(?:${vowels})?$`);
const hasVowel = new RegExp(`^(?:${consonants})?[aeiouy]`);
const endsShort = new RegExp(`^${consonants}[aeiouy][^aeiouwxy]$`);

const step2 = suffixRules(
  'ational:ate tional:tion enci:ence anci:ance izer:ize bli:ble alli:al entli:ent eli:e ousli:ous ization:ize ' +
    'ation:ate ator:ate alism:al iveness:ive fulness:ful ousness:ous aliti:al iviti:ive biliti:ble logi:log',
);
const step3 = suffixRules('icate:ic ative: alize:al iciti:ic ical:ic ful: ness:');
const step4 =
  /^(.+?)(?:al|ance|ence|er|ic|able|ible|ant|ement|ment|ent|(?<=[st])ion|ou|ism|ate|iti|ous|ive|ize)$/;

/** The stem of a lower-case English word. */
export function stem(word: string): string {
  const base = baseForms.get(word) ?? word;
  let w = fullForm(fullForm(base.replace(/s$/, ''), base));
  if (w.length < 3) return w;
  w = fullForm(withoutPluralOrTense(w)).replace(/(?<=^.{4,})ship$/, '');
  if (w.endsWith('y') && hasVowel.test(w.slice(0, -1))) w = `${w.slice(0, -1)}i`;
  w = replaceSuffix(w, step2);
  w = replaceSuffix(w, step3);

  const root = step4.exec(w)?.[1];
  if (root && measureOver1.test(root)) w = root;
  if (w.endsWith('e')) {
    const bare = w.slice(0, -1);
    if (measureOver1.test(bare) || (measureIs1.test(bare) && !endsShort.test(bare))) w = bare;
  }
  return w.endsWith('ll') && measureOver1.test(w) ? w.slice(0, -1) : w;
}

function withoutPluralOrTense(word: string): string {
  let w = word;
  if (/(?:sses|ies)$/.test(w)) w = w.slice(0, -2);
  else if (/[^s]s$/.test(w)) w = w.slice(0, -1);
  if (w.endsWith('eed')) return measureOver0.test(w.slice(0, -3)) ? w.slice(0, -1) : w;
  const root = /^(.+?)(?:ed|ing)$/.exec(w)?.[1];
  if (!root || !hasVowel.test(root)) return w;
  if (/(?:at|bl|iz)$/.test(root)) return `${root}e`;
  if (/([^aeiouylsz])\1$/.test(root)) return root.slice(0, -1);
  return endsShort.test(root) ? `${root}e` : root;
}

function suffixRules(list: string): [suffix: string, replacement: string][] {
  return list.split(' ').map((rule) => {
    const [suffix = '', replacement = ''] = rule.split(':');
    return [suffix, replacement];
  });
}

function replaceSuffix(word: string, rules: [string, string][]): string {
  const rule = rules.find(([suffix]) => word.endsWith(suffix));
  if (!rule) return word;
  const root = word.slice(0, -rule[0].length);
  return measureOver0.test(root) ? root + rule[1] : word;
}
