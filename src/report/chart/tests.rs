use super::*;

fn minutes(minutes: u64) -> Duration {
    Duration::from_mins(minutes)
}

/// A sample of one minute that began this many minutes ago.
fn sample(began: u64, received: u64, sent: u64) -> Sample {
    Sample {
        began: minutes(began),
        ended: minutes(began - 1),
        received,
        sent,
    }
}

fn chart(samples: &[Sample]) -> String {
    let chart = Chart::of(samples).expect("samples that last some time");
    chart.render().into_string()
}

/// The attribute `d` of the path of this class in the plot.
#[track_caller]
fn path<'a>(chart: &'a str, class: &str) -> &'a str {
    let (_, plot) = chart.split_once("preserveAspectRatio").expect("the plot");
    let begin = format!("class=\"{class}\" d=\"");
    let (_, path) = plot.split_once(&begin).expect("the path");
    path.split_once('"').expect("its end").0
}

/// 7,500 bytes in a minute are 1,000 bit/s. The axis is 4 minutes long and ends at 2 kbit/s: a
/// minute is 250 wide, and 1 kbit/s is 500 high.
#[test]
fn rates_are_drawn_to_scale() {
    let chart = chart(&[
        sample(3, 15_000, 0),
        sample(2, 7500, 3750),
        sample(1, 0, 7500),
    ]);
    assert_eq!(
        path(&chart, "down"),
        "M250,1000H250V0H500V500H750V1000H1000V1000Z"
    );
    assert_eq!(
        path(&chart, "up"),
        "M250,1000H250V1000H500V750H750V500H1000"
    );
    assert_eq!(
        path(&chart, "grid"),
        "M0,1000H1000M0,750H1000M0,500H1000M0,250H1000M0,0H1000"
    );
}

#[test]
fn text_says_what_is_drawn() {
    let chart = chart(&[sample(2, 15_000_000, 75_000), sample(1, 7_500_000, 150)]);
    let parts = chart.replace("></path>", "/>").replace("><", ">\n<");
    insta::assert_snapshot!(parts, @r#"
    <p class="legend">
    <span class="key down">
    <svg aria-hidden="true" viewBox="0 0 20 10">
    <path class="down" d="M0,10V2H20V10"/>
    </svg>Down 1.00 Mbit/s<small>at most 2.00 Mbit/s</small>
    </span>
    <span class="key up">
    <svg aria-hidden="true" viewBox="0 0 20 10">
    <path class="up" d="M0,6H20"/>
    </svg>Up 20 bit/s<small>at most 10.00 kbit/s</small>
    </span>
    </p>
    <svg class="chart" role="img" aria-labelledby="chart-title chart-description">
    <title id="chart-title">Down and up in the last 2m</title>
    <desc id="chart-description">Bits per second, averaged over each minute. Down: 1.00 Mbit/s now, at most 2.00 Mbit/s. Up: 20 bit/s now, at most 10.00 kbit/s.</desc>
    <svg y="10%" width="100%" height="76%" viewBox="0 0 1000 1000" preserveAspectRatio="none">
    <path class="grid" d="M0,1000H1000M0,750H1000M0,500H1000M0,250H1000M0,0H1000"/>
    <path class="down" d="M0,1000H0V0H500V500H1000V1000Z"/>
    <path class="up" d="M0,995H0V995H500V1000H1000"/>
    </svg>
    <text y="67%" dy="-.3em">0.5 Mbit/s</text>
    <text y="48%" dy="-.3em">1 Mbit/s</text>
    <text y="29%" dy="-.3em">1.5 Mbit/s</text>
    <text y="10%" dy="-.3em">2 Mbit/s</text>
    <text y="97%">2m ago</text>
    <text x="50%" y="97%" text-anchor="middle">1m ago</text>
    <text x="100%" y="97%" text-anchor="end">now</text>
    </svg>
    "#);
}

#[track_caller]
fn check_span(oldest: Duration, expected: &str) {
    let sample = Sample {
        began: oldest,
        ended: Duration::ZERO,
        received: 1,
        sent: 1,
    };
    let chart = chart(&[sample]);
    assert!(
        chart.contains(&format!("in the last {expected}<")),
        "{chart}"
    );
    assert!(chart.contains(&format!(">{expected} ago<")), "{chart}");
}

#[test]
fn the_axis_is_as_long_as_the_samples_need() {
    check_span(Duration::from_millis(1), "2m");
    check_span(minutes(2), "2m");
    check_span(minutes(3), "4m");
    check_span(minutes(5), "10m");
    check_span(minutes(11), "20m");
    check_span(minutes(21), "30m");
    check_span(minutes(31), "1h");
    check_span(minutes(61), "1h");
}

#[test]
fn what_is_older_than_the_axis_begins_at_its_left_end() {
    let mut old = sample(61, 7500, 7500);
    old.ended = minutes(30);
    let chart = chart(&[old, sample(30, 0, 0)]);
    assert!(path(&chart, "up").starts_with("M0,"), "{chart}");
}

#[test]
fn without_time_there_is_no_chart() {
    assert!(Chart::of(&[]).is_none());
    let sample = Sample {
        began: Duration::ZERO,
        ended: Duration::ZERO,
        received: 1,
        sent: 1,
    };
    assert!(Chart::of(&[sample]).is_none());
}

#[test]
fn enormous_counters_do_not_overflow() {
    let mut most = sample(1, u64::MAX, u64::MAX);
    most.ended = most.began.saturating_sub(Duration::from_nanos(1));
    let chart = chart(&[most]);
    assert!(path(&chart, "down").contains('V'), "{chart}");
}
