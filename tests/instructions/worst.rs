//! The most expensive requests that a client can send.

use super::*;

/// The most work that a client without a token can cause, at Envoy's limit of 60 KiB for all header fields.
const WORST: &[Budget] = &[
    budget("1 pattern", 4_380_000, 7),
    budget("20 patterns", 7_120_000, 7),
    budget("100 patterns", 8_760_000, 7),
    budget("20 patterns on a header", 4_920_000, 7),
    budget("1000 prefixes, an ordinary path", 15_800, 7),
    budget("1000 prefixes", 3_400_000, 7),
    budget("1000 rules to be met with a token", 3_020_000, 9),
    budget("1000 parameters", 6_860_000, 7),
    budget("1000 parts of a header", 5_140_000, 7),
    budget("1000 matchers of 90 values", 13_600_000, 7),
    budget("20 parameters", 31_600_000, 8),
    budget("20 cookies", 23_200_000, 8),
    budget("10,000 rules with a token", 6_500_000, 9),
    budget("1000 rules with scopes of their own", 40_400_000, 9),
    budget("1000 named requirements", 5_900_000, 9),
    budget("1000 patterns on two long values", 4_900_000, 7),
    budget("1000 matchers of 250 parameters", 5_820_000, 7),
    budget("5000 values of a header", 31_600_000, 7),
    budget("5000 parts of a header's values", 45_200_000, 7),
    budget("5000 headers", 18_400_000, 7),
    budget("5000 values of a parameter", 47_200_000, 7),
];

/// The longest possible text, made of the parts that the patterns search for.
fn candidates(patterns: usize, ends: &[&str]) -> String {
    let mut chance = testkit::Random::new(7);
    let mut text = "/x".to_owned();
    while text.len() < 57_000 {
        let end = ends[chance.below(ends.len())];
        text += &format!("/svc{}{end}", chance.below(patterns));
    }
    text
}

/// The most expensive of the requests. Each goes to a VM of its own, after an ordinary request.
fn dearest(matchers: impl Iterator<Item = Value>, requests: &[Request]) -> Cost {
    let mut config = config(&keys());
    let ruled = |matcher| json!({"match": matcher, "requires": {"provider_name": "corp"}});
    config["rules"] = matchers.chain([json!({"prefix": "/"})]).map(ruled).collect();
    let costs = requests.iter().map(|request| {
        let (mut vm, _) = Vm::start(NOW);
        vm.configure(&config);
        vm.refused(&Request::get("/orders/4711"), 401);
        vm.refused(request, 401)
    });
    costs.max_by_key(|cost| cost.instructions).expect("a request")
}

/// Measures each row of [`WORST`], in their order.
fn worst() -> Vec<Cost> {
    let pattern = |number: usize| json!({"regex": format!("/.*/svc{number}/.*")});
    let field = |test: Value| json!({"prefix": "/", "headers": [{"name": "x-env", "string_match": test}]});
    let get = |path: &str| Request::get(path);
    let mut costs = Vec::new();
    for patterns in [1, 20, 100] {
        let requests: Vec<Request> = [&["x"][..], &["/", "", "x"], &["/\u{e9}"]]
            .into_iter()
            .map(|ends| get(&candidates(patterns, ends)))
            .collect();
        let rules = (0..patterns).map(|number| json!({"safe_regex": pattern(number)}));
        costs.push(dearest(rules, &requests));
    }
    let requests: Vec<Request> = [&["x"][..], &["/", ""]]
        .into_iter()
        .map(|ends| get("/").header("x-env", candidates(20, ends)))
        .collect();
    let rules = (0..20).map(|number| field(json!({"safe_regex": pattern(number)})));
    costs.push(dearest(rules, &requests));
    let prefixes = || (0..1000).map(|number| json!({"prefix": format!("/api/service-{number}/")}));
    costs.push(dearest(prefixes(), &[get("/api/service/4711")]));
    let deep = |part: &str, times: usize| get(&format!("/api/service-999/{}", part.repeat(times)));
    let requests = [
        deep("a;b/..%2f", 3),
        deep("%2525252525252e/", 1),
        deep("//a/%2e%2e/", 700),
        deep("%20", 2500),
        deep("a", 56_000),
    ];
    costs.push(dearest(prefixes(), &requests));
    // Every rule has to be met, with one token that is found, read and verified once.
    let request = orders().bearer(token("RS256"));
    let path = "//a/%2e%2e/".repeat(700);
    let (mut vm, _) = Vm::start(NOW);
    let mut all = config(&keys());
    all["rules"] = prefixes()
        .map(|matcher| json!({"match": matcher, "requires": {"provider_name": "corp"}, "authorize": {"scopes": {"all": ["orders:read"]}}}))
        .collect();
    vm.configure(&all);
    costs.push(vm.forwarded(&Request { path, ..request }));
    let parameters = (0..1000).map(|number| {
        let test = json!({"contains": format!("x{number}")});
        json!({"prefix": "/", "query_parameters": [{"name": format!("p{number}"), "string_match": test}]})
    });
    let each: String = (0..7000).map(|number| format!("p{number}=a&")).collect();
    costs.push(dearest(
        parameters,
        &[
            get(&format!("/?{}", "a&".repeat(28_000))),
            get(&format!("/?{each}")),
        ],
    ));
    let parts =
        (0..1000).map(|number| field(json!({"contains": format!("svc{number}"), "ignore_case": true})));
    costs.push(dearest(parts, &[get("/").header("x-env", "/SVC".repeat(14_000))]));
    let values = (0..1000).map(|number| field(json!({"exact": format!("c{number}")})));
    let many = (0..90).fold(get("/"), |request, _| request.header("x-env", "c1000"));
    costs.push(dearest(values, &[many]));
    costs.push(in_names(
        "from_params",
        &|part| get(&format!("/?{part}")),
        &["a&", "p&", "q0=a&", "x%61=&", "a;", "p0["],
    ));
    costs.push(in_names(
        "from_cookies",
        &|part| get("/").header("cookie", part),
        &["a;", "q0=a;", "=", "q0=a ", "p0["],
    ));
    for (count, own) in [(10_000, false), (1000, true)] {
        let rule = |number: usize| {
            let mut scopes = vec!["orders:read".to_owned()];
            scopes.extend(own.then(|| format!("orders:{number}")));
            json!({
                "match": {"prefix": format!("/api/service-{number}/")}, "requires": {"provider_name": "corp"},
                "authorize": {"scopes": {"any": scopes}},
            })
        };
        let mut config = config(&keys());
        config["rules"] = (0..count).map(rule).collect();
        let (mut vm, _) = Vm::start(NOW);
        vm.configure(&config);
        let path = "//a/%2e%2e/".repeat(700);
        let request = orders().bearer(token("RS256"));
        costs.push(vm.forwarded(&Request { path, ..request }));
    }
    // A client that sends a header that the filter owns makes Envoy choose the route again, and may get any
    // route.
    let mut named = config(&keys());
    let entry = |number: usize| (format!("r{number}"), json!({"provider_name": "corp"}));
    named["requirement_map"] = Value::Object((0..1000).map(entry).collect());
    let (mut vm, _) = Vm::start(NOW);
    vm.configure(&named);
    let long = Request {
        path: format!("/{}", "%20".repeat(19_000)),
        ..orders()
    };
    costs.push(vm.refused(&long, 401));
    let own = (0..1000).map(|number| field(json!({"contains": format!("c{number}")})));
    let two = (0..2).fold(get("//a/%2e%2e;/b"), |request, _| {
        request.header("x-env", ",d".repeat(14_000))
    });
    costs.push(dearest(own, &[two]));
    let ofs = (0..1000).map(|number| {
        json!({"prefix": "/", "query_parameters": [{"name": "p", "string_match": {"exact": format!("{number}")}}]})
    });
    costs.push(dearest(
        ofs,
        &[get(&format!("//a/%2e%2e;/b?{}", "p=%41&".repeat(250)))],
    ));
    costs.extend(without_paths());
    costs
}

/// Rules that test no path. The filter looks at all of them.
fn without_paths() -> [Cost; 4] {
    let rules = |matcher: &dyn Fn(usize) -> Value| (0..5000).map(matcher).collect::<Vec<_>>().into_iter();
    let field = |name: &str, test: Value| json!({"headers": [{"name": name, "string_match": test}]});
    let get = |path: &str| Request::get(path);
    // All values have the length of the rules' values, so that each comparison reads both.
    let elements = (0..16).fold(get("/"), |request, _| {
        request.header("x-env", "tenant-zzzz,".repeat(15))
    });
    let lines = (0..90).fold(get("/"), |request, _| request.header("x-env", "tenant-zzzz"));
    let named = (0..80).fold(get("/"), |request, number| {
        request.header(&format!("x-{number}"), "b")
    });
    let repeated = format!("/?{}", "p=%76zzzz;".repeat(16));
    let text = |number: usize| format!("tenant-{number:04}");
    [
        dearest(
            rules(&|number| field("x-env", json!({"exact": text(number)}))),
            &[elements.clone(), lines],
        ),
        dearest(
            rules(&|number| field("x-env", json!({"contains": text(number)}))),
            &[elements],
        ),
        dearest(
            rules(&|number| field(&format!("x-{number}"), json!({"exact": "a"}))),
            &[named],
        ),
        dearest(
            rules(&|number| {
                let test = json!({"exact": format!("v{number:04}")});
                json!({"query_parameters": [{"name": "p", "string_match": test}]})
            }),
            &[get(&repeated)],
        ),
    ]
}

/// The most expensive of some requests without a token, if any of 20 names may contain one.
fn in_names(names: &str, request: &dyn Fn(&str) -> Request, parts: &[&str]) -> Cost {
    let mut config = config(&keys());
    let all: Vec<String> = (0..20).map(|number| format!("p{number}")).collect();
    config["providers"]["corp"][names] = json!(all);
    let costs = parts.iter().map(|part| {
        let (mut vm, _) = Vm::start(NOW);
        vm.configure(&config);
        vm.refused(&request(&part.repeat(57_000 / part.len())), 401)
    });
    costs.max_by_key(|cost| cost.instructions).expect("a request")
}

#[test]
fn no_client_makes_a_worker_do_more_than_its_budget() {
    let costs = worst();
    assert_eq!(costs.len(), WORST.len());
    let mut faults = Vec::new();
    println!("what the budgets would be today:");
    for (cost, budget) in costs.iter().zip(WORST) {
        println!(
            "    budget({:?}, {}, {}),",
            budget.what,
            with_room(cost.instructions),
            cost.host_calls()
        );
        let allowed = budget.instructions * allowance() / 100;
        if cost.instructions > allowed || cost.host_calls() > budget.host_calls {
            faults.push(budget.what);
        }
    }
    assert!(faults.is_empty(), "above their budgets: {faults:?}");
}
