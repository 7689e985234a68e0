import { skillOf } from '#runtime/skill.ts';

export const skill = skillOf(`---
name: conformance-fixture
description: How to call what the suite asks for.
---

Call what the suite names.
`);
