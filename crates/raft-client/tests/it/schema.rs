//! The part of JSON Schema that the published schemas use. A keyword that is not known here is a
//! fault as well, so that nothing in them goes unchecked.

use serde_json::Value;

/// What is wrong with `json`, with where it is.
pub(crate) fn faults(schema: &Value, json: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    Check { root: schema, faults: &mut faults }.check(schema, json, "");
    faults
}

struct Check<'a> {
    root: &'a Value,
    faults: &'a mut Vec<String>,
}

impl<'a> Check<'a> {
    fn check(&mut self, schema: &'a Value, json: &Value, at: &str) {
        for (keyword, wanted) in schema.as_object().expect("a schema is an object") {
            let holds = match keyword.as_str() {
                "$schema" | "title" | "description" | "$defs" => true,
                "$ref" => {
                    let place = wanted.as_str().unwrap().strip_prefix('#').unwrap();
                    self.check(self.root.pointer(place).expect("it is defined"), json, at);
                    true
                }
                "const" => json == wanted,
                "enum" => wanted.as_array().unwrap().contains(json),
                "type" => is_of_type(json, wanted.as_str().unwrap()),
                "minimum" => json.as_f64().is_none_or(|it| wanted.as_f64().unwrap() <= it),
                "maximum" => json.as_f64().is_none_or(|it| it <= wanted.as_f64().unwrap()),
                "anyOf" => {
                    let any = wanted.as_array().unwrap().iter();
                    any.map(|one| self.apart(one, json)).any(|faults| faults == 0)
                }
                "items" => {
                    for (place, item) in json.as_array().into_iter().flatten().enumerate() {
                        self.check(wanted, item, &format!("{at}/{place}"));
                    }
                    true
                }
                "required" => {
                    let names = wanted.as_array().unwrap().iter().map(|it| it.as_str().unwrap());
                    json.as_object()
                        .is_none_or(|object| names.clone().all(|it| object.contains_key(it)))
                }
                "properties" | "additionalProperties" => {
                    self.members(schema, json, at, keyword == "properties");
                    true
                }
                other => panic!("{other} is not known here"),
            };
            if !holds {
                self.faults.push(format!("{at}: {keyword} {wanted}: {json}"));
            }
        }
    }

    /// The members that the schema names, or those that it does not name.
    fn members(&mut self, schema: &'a Value, json: &Value, at: &str, named: bool) {
        for (name, value) in json.as_object().into_iter().flatten() {
            let at = format!("{at}/{name}");
            match (schema.get("properties").and_then(|known| known.get(name)), named) {
                (Some(known), true) => self.check(known, value, &at),
                (None, false) if schema["additionalProperties"] == false => {
                    self.faults.push(format!("{at}: not in the schema"));
                }
                (None, false) => self.check(&schema["additionalProperties"], value, &at),
                (Some(_), false) | (None, true) => (),
            }
        }
    }

    fn apart(&self, schema: &'a Value, json: &Value) -> usize {
        let mut faults = Vec::new();
        Check { root: self.root, faults: &mut faults }.check(schema, json, "");
        faults.len()
    }
}

fn is_of_type(json: &Value, name: &str) -> bool {
    match name {
        "null" => json.is_null(),
        "boolean" => json.is_boolean(),
        "integer" => json.is_u64() || json.is_i64(),
        "number" => json.is_number(),
        "string" => json.is_string(),
        "array" => json.is_array(),
        "object" => json.is_object(),
        other => panic!("{other} is no type"),
    }
}
