//! Filters as they are refused.

use annal_event::Filter;
use annal_server::Code;

#[test]
fn a_filter_that_does_not_parse_has_a_code_of_its_own() {
    let error = Filter::expression("type = ").expect_err("no expression");
    let code = Code::from(error.kind());
    assert_eq!((code.text(), code.status()), ("invalid-filter", 400));
}
