//! What the people of the demo world write.

/// Who does things.
pub(super) const PEOPLE: [&str; 8] = [
    "amira.haddad",
    "joost.de.vries",
    "mei.lin",
    "noor.bakker",
    "pieter.jansen",
    "sofia.rossi",
    "tomasz.nowak",
    "yara.okafor",
];

/// What goes wrong in a town.
pub(super) const ISSUES: [(&str, &str, &str); 14] = [
    (
        "Street light out on Kerkstraat",
        "The third lamp post from the church has been dark since Monday.",
        "public-space",
    ),
    (
        "Login page rejects valid passwords",
        "Passwords with a plus sign are refused since the last release.",
        "portal",
    ),
    (
        "Overflowing container at the market",
        "The glass container next to the fish stall is full again.",
        "waste",
    ),
    (
        "Parking permit letter shows the wrong zone",
        "Residents of zone C receive letters that say zone B.",
        "permits",
    ),
    (
        "Loose paving stones at the station",
        "Two people have tripped at the bicycle parking this week.",
        "public-space",
    ),
    (
        "Search finds no archived cases",
        "Cases closed before 2021 do not appear in the results.",
        "portal",
    ),
    (
        "Noise from the ventilation at town hall",
        "A hum from the roof keeps the neighbours awake after ten.",
        "buildings",
    ),
    (
        "Tree leaning over the cycle path",
        "After the storm the old elm at the canal leans further each day.",
        "green",
    ),
    (
        "Payment confirmation arrives twice",
        "Every payment by transfer sends two identical e-mails.",
        "finance",
    ),
    (
        "Playground swing broken",
        "One chain of the big swing at the Vondel playground has snapped.",
        "green",
    ),
    (
        "Map shows last year's road works",
        "The closure of the ring road is still drawn although it is open.",
        "portal",
    ),
    (
        "Water on the tunnel floor",
        "The pump in the cyclists' tunnel does not start after heavy rain.",
        "public-space",
    ),
    (
        "Building permit form loses attachments",
        "Drawings over ten megabytes vanish after pressing next.",
        "permits",
    ),
    (
        "Bench removed without notice",
        "The bench at the pond was very popular with elderly residents.",
        "green",
    ),
];

/// What people say about it.
pub(super) const COMMENTS: [&str; 12] = [
    "I have seen this too, since last week.",
    "Could you send a photograph of the exact spot?",
    "The contractor has been called and comes on Thursday.",
    "Still the same this morning.",
    "I could reproduce it with a test account; details follow.",
    "Thank you, that was quick!",
    "This looks like the same cause as an earlier report.",
    "We need a decision from the department first.",
    "The part has been ordered; delivery takes a week.",
    "Asked the neighbours: nobody minds if it is done on Saturday.",
    "Checked on site, it is worse than described.",
    "Resolved from our side. Please confirm.",
];

/// What has to be done about it.
pub(super) const TASKS: [&str; 10] = [
    "Inspect on site",
    "Call the contractor",
    "Reproduce and write a failing test",
    "Order replacement parts",
    "Inform the residents of the street",
    "Ask legal for advice",
    "Prepare a fix for the next release",
    "Close off the area",
    "Check the invoice",
    "Write the answer to the reporter",
];

/// What is planned.
pub(super) const PLANS: [&str; 6] = [
    "Weekly round of the public space",
    "Release of the residents' portal",
    "Consultation evening on the new park",
    "Maintenance window of the case system",
    "Permit desk: intake of the week",
    "Inspection of playgrounds",
];

/// What is written down.
pub(super) const DOCUMENTS: [(&str, &str); 8] = [
    ("Photograph of the situation", "image/jpeg"),
    ("Inspection report", "application/pdf"),
    ("Quotation of the contractor", "application/pdf"),
    ("Letter to the residents", "application/vnd.oasis.opendocument.text"),
    ("Minutes of the meeting", "text/markdown"),
    ("Site plan", "image/svg+xml"),
    ("Test protocol", "text/markdown"),
    ("Decision of the council", "application/pdf"),
];
