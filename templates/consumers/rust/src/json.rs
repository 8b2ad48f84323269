//! JSON: enough to read a tensor and to write a report.

use crate::{Bf16, DType, Element, Error, Tensor, F16};
use std::fmt::{self, Write as _};

/// A JSON value. Numbers stay text, so that no integer loses digits; `NaN` and `Infinity` are read and written as
/// Python's `json` does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // JSON's own words
pub enum Value {
    Null,
    Bool(bool),
    Number(String),
    String(String),
    Array(Vec<Value>),
    Object(Vec<(String, Value)>),
}

impl Value {
    /// A number from anything that prints as one.
    pub fn number(value: impl fmt::Display) -> Self {
        let text = value.to_string();
        Self::Number(match text.as_str() {
            "inf" => String::from("Infinity"),
            "-inf" => String::from("-Infinity"),
            _ => text,
        })
    }

    /// An object from pairs.
    #[must_use]
    pub fn object<const N: usize>(pairs: [(&str, Value); N]) -> Self {
        Self::Object(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    /// A member of an object.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Self::Object(pairs) => pairs.iter().find(|pair| pair.0 == key).map(|pair| &pair.1),
            _ => None,
        }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// [`Error::Usage`] that names the byte where it stops to be JSON.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut parser = Parser { bytes: text.as_bytes(), at: 0, depth: 0 };
        let value = parser.value();
        parser.skip_space();
        match value {
            Some(value) if parser.at == text.len() => Ok(value),
            _ => Err(Error::usage(
                &format!("this is not JSON from byte {} on", parser.at),
                "the document cannot be read",
                "check it with `python3 -m json.tool FILE`",
            )),
        }
    }

    /// Members of objects go on lines of their own, indented; `None` for one line.
    fn write(&self, out: &mut String, indent: Option<usize>) {
        let start_line = |out: &mut String, extra: usize| {
            if let Some(level) = indent {
                out.push('\n');
                out.push_str(&"  ".repeat(level + extra));
            }
        };
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(text) => out.push_str(text),
            Self::String(text) => write_string(out, text),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { ", " });
                    item.write(out, None);
                }
                out.push(']');
            }
            Self::Object(pairs) => {
                out.push('{');
                for (index, (key, value)) in pairs.iter().enumerate() {
                    out.push_str(match (index, indent) {
                        (0, _) => "",
                        (_, Some(_)) => ",",
                        (_, None) => ", ",
                    });
                    start_line(out, 1);
                    write_string(out, key);
                    out.push_str(": ");
                    value.write(out, indent.map(|level| level + 1));
                }
                if !pairs.is_empty() {
                    start_line(out, 0);
                }
                out.push('}');
            }
        }
    }
}

/// Indented by two spaces, arrays on one line.
impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write(&mut text, Some(0));
        formatter.write_str(&text)
    }
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            control if control < ' ' => {
                let _ = write!(out, "\\u{:04x}", control as u32); // a String takes everything
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// Recursive descent. A method returns `None` where the text is not JSON, with `at` there.
struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

/// A document nested deeper is refused rather than overflowing the stack.
const MAX_DEPTH: usize = 64;

impl Parser<'_> {
    fn skip_space(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    /// Skips space, then `text` if it comes next.
    fn take(&mut self, text: &str) -> bool {
        self.skip_space();
        let found = self.bytes[self.at..].starts_with(text.as_bytes());
        if found {
            self.at += text.len();
        }
        found
    }

    fn value(&mut self) -> Option<Value> {
        if let Some(word) =
            ["null", "true", "false", "NaN", "Infinity", "-Infinity"].iter().find(|word| self.take(word))
        {
            return Some(match *word {
                "null" => Value::Null,
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                number => Value::Number(number.to_owned()),
            });
        }
        match self.bytes.get(self.at)? {
            b'"' => self.string().map(Value::String),
            b'[' => self.nested("]", Self::value).map(Value::Array),
            b'{' => self
                .nested("}", |parser| {
                    parser.skip_space();
                    let key = parser.string()?;
                    if !parser.take(":") {
                        return None;
                    }
                    Some((key, parser.value()?))
                })
                .map(Value::Object),
            _ => self.number(),
        }
    }

    /// What stands between the bracket at `at` and its `end`, separated by commas.
    fn nested<T>(&mut self, end: &str, item: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        if self.depth == MAX_DEPTH {
            return None;
        }
        self.at += 1;
        self.depth += 1;
        let mut items = Vec::new();
        if !self.take(end) {
            loop {
                items.push(item(self)?);
                if self.take(end) {
                    break;
                }
                if !self.take(",") {
                    return None;
                }
            }
        }
        self.depth -= 1;
        Some(items)
    }

    fn number(&mut self) -> Option<Value> {
        let rest = &self.bytes[self.at..];
        let len = rest.iter().take_while(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte)).count();
        let text = std::str::from_utf8(&rest[..len]).ok()?;
        text.parse::<f64>().ok()?;
        self.at += len;
        Some(Value::Number(text.to_owned()))
    }

    fn string(&mut self) -> Option<String> {
        if self.bytes.get(self.at) != Some(&b'"') {
            return None;
        }
        self.at += 1;
        let mut text = Vec::new();
        loop {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            match byte {
                b'"' => return String::from_utf8(text).ok(),
                b'\\' => {
                    let character = self.escape()?;
                    text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                0..=0x1f => return None,
                other => text.push(other),
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(match byte {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'"' | b'\\' | b'/' => char::from(byte),
            b'u' => {
                let unit = self.hex4()?;
                let pair = (0xd800..0xdc00).contains(&unit) && self.bytes[self.at..].starts_with(b"\\u");
                if !pair {
                    return char::from_u32(unit);
                }
                self.at += 2;
                let low = self.hex4()?.checked_sub(0xdc00)?;
                return char::from_u32(0x10000 + ((unit - 0xd800) << 10) + low);
            }
            _ => return None,
        })
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = std::str::from_utf8(self.bytes.get(self.at..self.at + 4)?).ok()?;
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }
}

/// Runs `$body` with `$element` standing for the Rust type of a dtype that prints and parses as a number; else `$other`.
macro_rules! with_number {
    ($dtype:expr, $element:ident => $body:expr, else $other:expr) => {
        match $dtype {
            DType::UInt8 => {
                type $element = u8;
                $body
            }
            DType::UInt16 => {
                type $element = u16;
                $body
            }
            DType::UInt32 => {
                type $element = u32;
                $body
            }
            DType::UInt64 => {
                type $element = u64;
                $body
            }
            DType::Int8 => {
                type $element = i8;
                $body
            }
            DType::Int16 => {
                type $element = i16;
                $body
            }
            DType::Int32 => {
                type $element = i32;
                $body
            }
            DType::Int64 => {
                type $element = i64;
                $body
            }
            DType::Float32 => {
                type $element = f32;
                $body
            }
            DType::Float64 => {
                type $element = f64;
                $body
            }
            _ => $other,
        }
    };
}

fn collect<T: Element>(tensor: &Tensor<'_>, to_value: impl Fn(&T) -> Value) -> Result<Vec<Value>, Error> {
    Ok(tensor.as_slice::<T>()?.iter().map(to_value).collect())
}

/// `{"data": [...], "shape": [...], "dtype": "float32"}`; complex numbers as pairs.
///
/// # Errors
/// [`Error::Usage`] when a byte of a `bool` tensor is neither 0 nor 1.
pub fn from_tensor(tensor: &Tensor<'_>) -> Result<Value, Error> {
    let data = with_number!(tensor.dtype(), T => collect(tensor, |value: &T| Value::number(value))?, else {
        match tensor.dtype() {
            DType::Bool => collect(tensor, |value: &bool| Value::Bool(*value))?,
            DType::Float16 => collect(tensor, |value: &F16| Value::number(f32::from(*value)))?,
            DType::BFloat16 => collect(tensor, |value: &Bf16| Value::number(f32::from(*value)))?,
            DType::Complex64 => {
                collect(tensor, |pair: &[f32; 2]| Value::Array(pair.iter().map(Value::number).collect()))?
            }
            _ => collect(tensor, |pair: &[f64; 2]| Value::Array(pair.iter().map(Value::number).collect()))?,
        }
    });
    Ok(Value::object([
        ("data", Value::Array(data)),
        ("shape", Value::Array(tensor.shape().iter().map(Value::number).collect())),
        ("dtype", Value::String(tensor.dtype().to_string())),
    ]))
}

/// Appends the numbers of a flat or nested list.
fn flatten<'v>(value: &'v Value, out: &mut Vec<&'v str>) -> Option<()> {
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| flatten(item, out)),
        Value::Number(text) => {
            out.push(text);
            Some(())
        }
        Value::Bool(value) => {
            out.push(if *value { "1" } else { "0" });
            Some(())
        }
        _ => None,
    }
}

/// Reads what [`from_tensor`] writes. `data` may be nested as the shape says; complex and half precision tensors are
/// not read from JSON.
///
/// # Errors
/// [`Error::Usage`] when a member is missing or a number does not fit the dtype.
pub fn to_tensor(document: &Value) -> Result<Tensor<'static>, Error> {
    let wrong = |what: String| {
        Error::usage(
            &what,
            "a tensor is {\"data\": [...], \"shape\": [...], \"dtype\": \"float32\"}",
            "write it so, or give a .npy file",
        )
    };
    let member = |key: &str| document.get(key).ok_or_else(|| wrong(format!("the tensor has no \"{key}\"")));
    let dtype = match member("dtype")? {
        Value::String(name) => DType::from_name(name).ok_or_else(|| wrong(format!("{name} is not a dtype")))?,
        other => return Err(wrong(format!("{other} is not a dtype"))),
    };
    let numbers = |key: &str| {
        let mut texts = Vec::new();
        flatten(member(key)?, &mut texts).ok_or_else(|| wrong(format!("\"{key}\" is not a list of numbers")))?;
        Ok::<_, Error>(texts)
    };
    let misfit = |text: &str| wrong(format!("{text} is not a number of type {dtype}"));
    let shape = numbers("shape")?
        .into_iter()
        .map(|text| text.parse().map_err(|_| wrong(format!("{text} is not a size"))))
        .collect::<Result<Vec<i64>, _>>()?;

    let mut bytes = Vec::new();
    for text in numbers("data")? {
        with_number!(dtype, T => bytes.extend(text.parse::<T>().map_err(|_| misfit(text))?.to_ne_bytes()), else {
            match (dtype, text) {
                (DType::Bool, "0" | "1") => bytes.push(u8::from(text == "1")),
                _ => return Err(misfit(text)),
            }
        });
    }
    Tensor::from_bytes(dtype, &shape, &bytes)
}

#[cfg(test)]
mod tests {
    use super::{from_tensor, to_tensor, Value};
    use crate::{DType, Tensor};

    #[test]
    fn documents_are_read_as_they_are_written() {
        let text = r#"{"a": [1, -2.5e3, true, null, "\u00e9\ud83d\ude00\n\"", {}, []], "b": {"c": NaN}}"#;
        let value = Value::parse(text).unwrap();
        assert_eq!(Value::parse(&value.to_string()).unwrap(), value);
        assert_eq!(value.get("b").unwrap().get("c"), Some(&Value::number(f32::NAN)));
    }

    #[test]
    fn objects_are_indented_and_arrays_are_not() {
        let value = Value::parse(r#"{"a":{"b":[{"c":1,"d":2}]},"e":{}}"#).unwrap();
        let expected = "{\n  \"a\": {\n    \"b\": [{\"c\": 1, \"d\": 2}]\n  },\n  \"e\": {}\n}";
        assert_eq!(value.to_string(), expected);
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "{", "[1,]", "{\"a\"}", "\"", "\"\\ud800\"", "1 2", "nul", "\u{1}", &"[".repeat(100_000)] {
            assert!(Value::parse(text).is_err(), "{}", &text[..text.len().min(20)]);
        }
    }

    #[test]
    fn tensors_keep_every_digit() {
        let data = [i64::MAX, i64::MIN, 0];
        let tensor = Tensor::from_slice(&data, &[3]).unwrap();
        let read = to_tensor(&from_tensor(&tensor).unwrap()).unwrap();
        assert_eq!(read.as_slice::<i64>().unwrap(), data);
        let data = [f32::MIN_POSITIVE, 0.1, f32::INFINITY];
        let tensor = Tensor::from_slice(&data, &[3, 1]).unwrap();
        let read = to_tensor(&Value::parse(&from_tensor(&tensor).unwrap().to_string()).unwrap()).unwrap();
        assert_eq!((read.as_slice::<f32>().unwrap(), read.shape()), (&data[..], &[3, 1][..]));
    }

    #[test]
    fn nested_data_is_flattened() {
        let document = Value::parse(r#"{"data": [[true, false], [false, true]], "shape": [2, 2], "dtype": "bool"}"#);
        assert_eq!(to_tensor(&document.unwrap()).unwrap().as_slice::<bool>().unwrap(), [true, false, false, true]);
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        for (data, shape, dtype) in
            [("[256]", "[1]", "uint8"), ("[1.5]", "[1]", "int64"), ("[1]", "[2]", "float32"), ("[1]", "[1]", "float8")]
        {
            let text = format!(r#"{{"data": {data}, "shape": {shape}, "dtype": "{dtype}"}}"#);
            assert_eq!(to_tensor(&Value::parse(&text).unwrap()).unwrap_err().exit_code(), 2, "{text}");
        }
    }

    #[test]
    fn every_dtype_can_be_written() {
        for name in ["bool", "uint16", "float16", "bfloat16", "float64", "complex64", "complex128"] {
            let tensor = Tensor::zeros(DType::from_name(name).unwrap(), &[2]).unwrap();
            assert!(from_tensor(&tensor).unwrap().to_string().contains(name));
        }
    }
}
