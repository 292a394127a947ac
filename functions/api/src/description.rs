//! The API's description: what the handlers say of themselves, and what is true of all of them.
//!
//! Promise: how an operation may be refused follows from what it takes, here and nowhere else; it ends in no other way.

use contract::Problem;
use utoipa::OpenApi as _;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::schema::AdditionalProperties;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, ResponseBuilder, Schema};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Triphammer",
        description = "Deployment pipelines for WordPress sites and containers. Errors are RFC 9457 problem+json with a stable `code`.",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT")
    ),
    components(schemas(Problem)),
    security(("token" = []))
)]
struct Frame;

/// What the handlers' own descriptions stand in.
pub fn frame() -> OpenApi {
    let mut frame = Frame::openapi();
    let components = frame.components.get_or_insert_default();
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("th_…")
        .build();
    components.add_security_scheme("token", SecurityScheme::Http(scheme));
    for refusal in &REFUSALS {
        let problem = Content::new(Some(Ref::from_schema_name("Problem")));
        let response = ResponseBuilder::new()
            .description(refusal.description)
            .content("application/problem+json", problem)
            .build();
        let name = refusal.name.to_string();
        components.responses.insert(name, response.into());
    }
    frame
}

/// What an operation takes, as far as it decides how it may be refused.
struct Takes {
    a_token: bool,
    /// It may change something: it has a body, and refuses a query that it would not hear.
    a_change: bool,
    a_body: bool,
    /// Anything by which a thing may be named that is not there.
    names: bool,
}

/// One way in which an operation may be refused.
struct Refusal {
    status: &'static str,
    name: &'static str,
    description: &'static str,
    of: fn(&Takes) -> bool,
}

const REFUSALS: [Refusal; 10] = [
    Refusal {
        status: "400",
        name: "Malformed",
        description: "Its query, its body or a header of it cannot be read.",
        of: |takes| takes.a_change || takes.names,
    },
    Refusal {
        status: "401",
        name: "Unauthorized",
        description: "There is no token, or none that is known.",
        of: |takes| takes.a_token,
    },
    Refusal {
        status: "403",
        name: "Forbidden",
        description: "The token or the role behind it lacks the scope.",
        of: |takes| takes.a_token,
    },
    Refusal {
        status: "404",
        name: "NotFound",
        description: "What it names is not there, or is another team's.",
        of: |takes| takes.names,
    },
    Refusal {
        status: "409",
        name: "Conflict",
        description: "It is in the way of something else, or comes too early or too late.",
        of: |takes| takes.a_change,
    },
    Refusal {
        status: "413",
        name: "TooLarge",
        description: "It weighs more than 64 KB, or 512 KB where a Compose file or values are sent.",
        of: |takes| takes.a_body,
    },
    Refusal {
        status: "415",
        name: "NotJson",
        description: "Its body is not JSON.",
        of: |takes| takes.a_body,
    },
    Refusal {
        status: "422",
        name: "Impossible",
        description: "It can be read, and cannot be done: `errors` names the fields at fault.",
        of: |takes| takes.a_body,
    },
    Refusal {
        status: "500",
        name: "Fault",
        description: "An error of Triphammer's own.",
        of: |takes| takes.a_token,
    },
    Refusal {
        status: "503",
        name: "Away",
        description: "Something that Triphammer stands on is away for now; nothing was changed.",
        of: |takes| takes.a_token,
    },
];

/// Say of every operation how it may be refused.
pub fn complete(description: &mut OpenApi) {
    for item in description.paths.paths.values_mut() {
        for (takes_a_body, is_read, operation) in operations(item) {
            let takes = Takes {
                a_token: operation.security.is_none(),
                a_change: !is_read,
                a_body: takes_a_body,
                names: operation.parameters.is_some() || operation.request_body.is_some(),
            };
            refuse(operation, &takes);
            if let Some(RefOr::T(body)) = &mut operation.request_body {
                may_be_left_out(body);
            }
        }
    }
    let schemas = description.components.iter_mut();
    for schema in schemas.flat_map(|components| components.schemas.values_mut()) {
        close(schema);
    }
}

/// The forms of an enum take no unknown fields, like all that is sent; the derive says so of structs alone.
fn close(schema: &mut RefOr<Schema>) {
    if let RefOr::T(Schema::OneOf(forms)) = schema {
        for form in &mut forms.items {
            if let RefOr::T(Schema::Object(form)) = form
                && !form.properties.is_empty()
            {
                form.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
            }
        }
    }
}

/// The operations of a path, with whether they take a body and whether they only read.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (bool, bool, &mut Operation)> {
    let reads = item.get.as_mut().map(|operation| (false, true, operation));
    let posts = [&mut item.post, &mut item.put, &mut item.patch];
    let posts = posts.into_iter().filter_map(Option::as_mut);
    let deletes = item.delete.as_mut();
    reads
        .into_iter()
        .chain(posts.map(|operation| (true, false, operation)))
        .chain(deletes.map(|operation| (false, false, operation)))
}

/// A body that may be left out is not one that may be `null`.
fn may_be_left_out(body: &mut RequestBody) {
    for content in body.content.values_mut() {
        if let RefOr::T(content) = content
            && let Some(RefOr::T(Schema::OneOf(either))) = &content.schema
            && let Some(reference @ RefOr::Ref(_)) = either.items.first()
        {
            content.schema = Some(reference.clone());
        }
    }
}

fn refuse(operation: &mut Operation, takes: &Takes) {
    let responses = &mut operation.responses.responses;
    for (status, response) in responses.iter_mut() {
        // OpenAPI wants a word about each.
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            response.description = match status.as_str() {
                "201" => "It was created.",
                "202" => "It has begun.",
                "204" => "It is gone.",
                _ => "As asked.",
            }
            .to_string();
        }
    }
    for refusal in REFUSALS.iter().filter(|refusal| (refusal.of)(takes)) {
        let response = Ref::from_response_name(refusal.name);
        responses.insert(refusal.status.to_string(), response.into());
    }
}
