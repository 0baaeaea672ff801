//! The published figures of the ready workloads, as the sources have them. They are typed here once
//! more, independently of the scripts.

/// One workload of a script, and what was published about it.
pub(super) struct Published {
    pub script: &'static str,
    pub workload: &'static str,
    /// Parameters that make the files small or many, as the comparison needs it.
    pub params: &'static [(&'static str, &'static str)],
    /// The number of iterations of each client.
    pub iterations: u32,
    /// Iterations per second of one client, if they were published.
    pub rate: Option<f64>,
    /// The shares of the operations, without those that smbench cannot express.
    pub operations: &'static [Share],
    /// The share of the writing operations that end with a flush, in percent.
    pub flushed: Option<f64>,
    pub reads: &'static [Class],
    pub writes: &'static [Class],
}

/// A kind of application operation.
pub(super) struct Share {
    /// The name of its step in the script.
    pub step: &'static str,
    pub percent: f64,
    /// The sequences of SMB operations that it may consist of; see `letter`. A letter stands for any
    /// number of the same operation in a row.
    pub wire: &'static [&'static str],
    pub order: Order,
}

/// The places of an operation's transfers in their files.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// There are none, or they may be anywhere.
    Any,
    /// Each file that is read or written is transferred from its beginning to its end.
    Whole,
    /// Each transfer begins where the previous one of the same kind on the handle ended, or at the
    /// beginning of the file.
    Sequential,
    /// Most transfers do not begin where the previous one of the same kind on the handle ended.
    Random,
    /// Each write begins at the end of the file. A file that is read before is read whole.
    Append,
}

/// The transfers with a size from `low` to `high` bytes, in percent.
pub(super) struct Class {
    pub low: u64,
    pub high: u64,
    pub percent: f64,
}

const K: u64 = 1024;
const M: u64 = 1024 * K;

const fn share(
    step: &'static str,
    percent: f64,
    wire: &'static [&'static str],
    order: Order,
) -> Share {
    Share { step, percent, wire, order }
}

const fn class(low: u64, high: u64, percent: f64) -> Class {
    Class { low, high, percent }
}

const fn exactly(size: u64, percent: f64) -> Class {
    class(size, size, percent)
}

const WRITTEN_WHOLE: &[&str] = &["wWC", "wWFC"];
const READ_WHOLE: &[&str] = &["rRC"];
const ACCESS: &[&str] = &["rC"];
const CREATED: &[&str] = &["wC"];
/// One read of a file that is read from front to back: the first one opens it, the last one closes.
const READ_ON: &[&str] = &["R", "rR", "RC", "rRC"];
const WRITE_ON: &[&str] = &["W", "bW", "WF", "bWF", "WC", "WFC", "bWC", "bWFC"];

const VIDEO_READS: &[Class] = &[
    exactly(64 * K, 15.0),
    exactly(128 * K, 10.0),
    exactly(256 * K, 20.0),
    exactly(512 * K, 35.0),
    exactly(M, 20.0),
];
const VIDEO_WRITES: &[Class] = &[
    exactly(32 * K, 5.0),
    exactly(64 * K, 10.0),
    exactly(128 * K, 10.0),
    exactly(256 * K, 25.0),
    exactly(512 * K, 25.0),
    exactly(M, 25.0),
];

pub(super) const PUBLISHED: &[Published] = &[
    Published {
        script: "software_build",
        workload: "build",
        params: &[],
        iterations: 2_500,
        rate: Some(100.0),
        // Without chmod, 5 %.
        operations: &[
            share("stat", 70.0, &["S"], Order::Any),
            share("write_file", 7.0, WRITTEN_WHOLE, Order::Whole),
            share("read_file", 6.0, READ_WHOLE, Order::Whole),
            share("access", 6.0, ACCESS, Order::Any),
            share("readdir", 2.0, &["L"], Order::Any),
            share("unlink", 2.0, &["D"], Order::Any),
            share("mkdir", 1.0, &["M"], Order::Any),
            share("create", 1.0, CREATED, Order::Any),
        ],
        flushed: Some(33.0),
        reads: &[
            class(1, 511, 1.0),
            class(512, 1023, 5.0),
            class(K, 2 * K - 1, 7.0),
            class(2 * K, 4 * K - 1, 7.0),
            class(4 * K, 8 * K - 1, 45.0),
            class(8 * K, 16 * K - 1, 13.0),
            class(16 * K, 32 * K - 1, 3.0),
            class(32 * K, 64 * K - 1, 2.0),
            class(64 * K, 128 * K, 17.0),
        ],
        writes: &[
            class(1, 511, 5.0),
            class(512, 1023, 3.0),
            class(K, 2 * K - 1, 10.0),
            class(2 * K, 4 * K - 1, 15.0),
            class(4 * K, 8 * K - 1, 14.0),
            class(8 * K, 16 * K - 1, 7.0),
            class(16 * K, 32 * K - 1, 6.0),
            class(32 * K, 64 * K - 1, 4.0),
            class(64 * K, 128 * K, 36.0),
        ],
    },
    Published {
        script: "video_capture",
        workload: "capture",
        params: &[],
        iterations: 3_000,
        rate: Some(9.0),
        operations: &[share("write", 100.0, &["W", "WF"], Order::Sequential)],
        flushed: Some(5.0),
        reads: &[],
        writes: VIDEO_WRITES,
    },
    Published {
        script: "video_capture",
        workload: "companion",
        params: &[("streams", "10"), ("size", "2MiB")],
        iterations: 1_500,
        rate: Some(1.0),
        operations: &[
            share("random_read", 84.0, &["R"], Order::Random),
            share("read", 5.0, &["R"], Order::Sequential),
            share("readdir", 3.0, &["L"], Order::Any),
            share("read_modify_write", 2.0, &["RW"], Order::Any),
            share("access", 2.0, ACCESS, Order::Any),
            share("stat", 2.0, &["S"], Order::Any),
            share("unlink", 1.0, &["D"], Order::Any),
            share("create", 1.0, CREATED, Order::Any),
        ],
        flushed: Some(0.0),
        reads: VIDEO_READS,
        // The few writes of so many operations say too little about their sizes.
        writes: &[],
    },
    Published {
        script: "chip_design",
        workload: "front",
        params: &[],
        iterations: 3_000,
        rate: Some(100.0),
        // Without chmod, 1 %.
        operations: &[
            share("stat", 39.0, &["S"], Order::Any),
            share("access", 15.0, ACCESS, Order::Any),
            share("random_write", 15.0, &["bWC", "bWFC"], Order::Any),
            share("write_file", 10.0, WRITTEN_WHOLE, Order::Whole),
            share("random_read", 8.0, READ_WHOLE, Order::Any),
            share("read_file", 7.0, READ_WHOLE, Order::Whole),
            share("create", 2.0, CREATED, Order::Any),
            share("mkdir", 1.0, &["M"], Order::Any),
            share("unlink", 2.0, &["D"], Order::Any),
        ],
        flushed: Some(15.0),
        reads: &[
            class(1, 511, 4.0),
            class(2 * K, 4 * K - 1, 2.0),
            class(4 * K, 8 * K - 1, 43.0),
            class(8 * K, 16 * K - 1, 30.0),
            class(16 * K, 32 * K, 21.0),
        ],
        writes: &[
            class(1, 511, 25.0),
            class(512, 1023, 10.0),
            class(K, 2 * K - 1, 15.0),
            class(2 * K, 4 * K - 1, 18.0),
            class(4 * K, 8 * K - 1, 27.0),
            class(8 * K, 16 * K - 1, 3.0),
            class(16 * K, 32 * K, 2.0),
        ],
    },
    Published {
        script: "chip_design",
        workload: "back",
        params: &[("size", "1MiB")],
        iterations: 3_000,
        rate: Some(75.0),
        operations: &[
            share("read", 50.0, READ_ON, Order::Sequential),
            share("write", 50.0, WRITE_ON, Order::Sequential),
        ],
        flushed: Some(15.0),
        reads: &[class(32 * K, 64 * K - 1, 49.0), exactly(64 * K, 51.0)],
        writes: &[class(32 * K, 64 * K - 1, 45.0), class(64 * K, 128 * K, 55.0)],
    },
    Published {
        script: "image_training",
        workload: "images",
        params: &[],
        iterations: 2_500,
        rate: Some(100.0),
        operations: &[
            share("stat", 56.0, &["S"], Order::Any),
            share("read", 37.0, READ_ON, Order::Sequential),
            share("access", 7.0, ACCESS, Order::Any),
        ],
        flushed: None,
        reads: &[class(1, 64 * K - 1, 5.0), exactly(256 * K, 95.0)],
        writes: &[],
    },
    Published {
        script: "image_training",
        workload: "records",
        params: &[],
        iterations: 3_000,
        rate: Some(2.0),
        operations: &[share("write", 100.0, WRITE_ON, Order::Sequential)],
        flushed: Some(30.0),
        reads: &[],
        writes: &[
            class(10 * K, 24 * K, 20.0),
            exactly(32 * K, 20.0),
            exactly(64 * K, 20.0),
            exactly(128 * K, 5.0),
            exactly(196 * K, 20.0),
            exactly(256 * K, 5.0),
            exactly(M, 5.0),
            class(2 * M, 5 * M / 2, 5.0),
        ],
    },
    Published {
        script: "image_training",
        workload: "training",
        params: &[],
        iterations: 700,
        rate: Some(3.0),
        operations: &[
            share("read", 95.0, READ_ON, Order::Sequential),
            share("stat", 5.0, &["S"], Order::Any),
        ],
        flushed: None,
        reads: &[exactly(2 * M, 100.0)],
        writes: &[],
    },
    Published {
        script: "image_training",
        workload: "checkpoints",
        params: &[],
        iterations: 5_000,
        rate: Some(1.0),
        operations: &[share("write", 100.0, &["W", "WF"], Order::Sequential)],
        flushed: Some(30.0),
        reads: &[],
        writes: &[class(1, 511, 80.0), exactly(2 * M, 20.0)],
    },
    Published {
        script: "genomics",
        workload: "analysis",
        params: &[],
        iterations: 4_000,
        rate: Some(250.0),
        // Without chmod, 1 %.
        operations: &[
            share("read", 70.0, READ_ON, Order::Sequential),
            share("stat", 12.0, &["S"], Order::Any),
            share("write", 8.0, &["W"], Order::Sequential),
            share("access", 4.0, ACCESS, Order::Any),
            share("random_read", 2.0, READ_WHOLE, Order::Any),
            share("random_write", 1.0, &["W"], Order::Random),
            share("create", 1.0, CREATED, Order::Any),
            share("unlink", 1.0, &["D"], Order::Any),
        ],
        flushed: Some(0.0),
        reads: &[
            class(1, 4 * K - 1, 1.0),
            exactly(4 * K, 2.0),
            class(8 * K, 64 * K, 1.0),
            exactly(128 * K, 96.0),
        ],
        writes: &[
            class(K, 2 * K - 1, 5.0),
            class(2 * K, 8 * K - 1, 4.0),
            class(8 * K, 128 * K, 4.0),
            exactly(512 * K, 87.0),
        ],
    },
    Published {
        script: "fileserver",
        workload: "threads",
        params: &[("threads", "8"), ("files", "200")],
        iterations: 100,
        rate: None,
        operations: &[
            share("create", 20.0, &["wWC"], Order::Whole),
            share("append", 20.0, &["bWC"], Order::Append),
            share("read", 20.0, READ_WHOLE, Order::Whole),
            share("delete", 20.0, &["D"], Order::Any),
            share("stat", 20.0, &["S"], Order::Any),
        ],
        flushed: Some(0.0),
        reads: &[exactly(M, 100.0)],
        writes: &[],
    },
    Published {
        script: "varmail",
        workload: "threads",
        params: &[("threads", "8"), ("files", "200")],
        iterations: 100,
        rate: None,
        operations: &[
            share("delete", 25.0, &["D"], Order::Any),
            share("create", 25.0, &["wWFC"], Order::Whole),
            share("read_and_append", 25.0, &["bRWFC"], Order::Append),
            share("read", 25.0, READ_WHOLE, Order::Whole),
        ],
        flushed: Some(100.0),
        reads: &[],
        writes: &[exactly(16 * K, 100.0)],
    },
    Published {
        script: "webserver",
        workload: "threads",
        params: &[("threads", "4"), ("files", "100")],
        iterations: 150,
        rate: None,
        operations: &[
            share("read", 1_000.0 / 11.0, READ_WHOLE, Order::Whole),
            share("append", 100.0 / 11.0, &["W"], Order::Any),
        ],
        flushed: Some(0.0),
        reads: &[],
        writes: &[exactly(16 * K, 100.0)],
    },
    Published {
        script: "network_file_server",
        workload: "users",
        params: &[],
        iterations: 400,
        rate: Some(10.0),
        operations: &[
            share("launch", 100.0 / 11.0, &["rRrRCrRC"], Order::Whole),
            share("replace", 600.0 / 11.0, &["rRwWCD"], Order::Whole),
            share("append", 300.0 / 11.0, &["bWC"], Order::Append),
            share("stat", 100.0 / 11.0, &["S"], Order::Any),
        ],
        flushed: Some(0.0),
        reads: &[
            exactly(8 * K, 85.0),
            class(17 * K, 23 * K, 8.0),
            class(33 * K, 39 * K, 4.0),
            class(65 * K, 71 * K, 2.0),
            class(129 * K, 135 * K, 1.0),
        ],
        writes: &[
            class(9 * K, 15 * K, 50.0),
            class(17 * K, 23 * K, 14.0),
            class(33 * K, 39 * K, 14.0),
            class(65 * K, 71 * K, 12.0),
            class(129 * K, 135 * K, 10.0),
        ],
    },
    // The ten scenarios and their rate are recalled, not read: the script calls them guesses.
    Published {
        script: "home_directories",
        workload: "users",
        params: &[],
        iterations: 250,
        rate: Some(1.0 / 11.0),
        operations: &[
            share("command_upload", 10.0, &["SwWC"], Order::Whole),
            share("command_download", 10.0, &["SrRC"], Order::Whole),
            share("command_delete", 10.0, &["D"], Order::Whole),
            share("command_navigate", 10.0, &["L"], Order::Whole),
            share("file_manager_upload", 10.0, &["SLSwWCL"], Order::Whole),
            share("file_manager_download", 10.0, &["SLSrRC"], Order::Whole),
            share("file_manager_delete", 10.0, &["SLDL"], Order::Whole),
            share("file_manager_navigate", 10.0, &["LSLSLSL"], Order::Whole),
            share("open_document", 10.0, &["SwWCrRCD"], Order::Whole),
            share("save_document", 10.0, &["wWFCNS"], Order::Whole),
        ],
        flushed: None,
        reads: &[],
        writes: &[],
    },
    // Nothing is published about the parts of a logon: this holds them against the script's header.
    Published {
        script: "logon_storm",
        workload: "logons",
        params: &[("users", "5")],
        iterations: 20,
        rate: None,
        operations: &[
            share("policies", 20.0, &["LSrRCrRCSrRCrRCSrRCrRCSrRCrRCSrRCrRCSrRCrRC"], Order::Whole),
            share("script", 20.0, &["SrRC"], Order::Whole),
            share("directories", 20.0, &["SLSLSLSL"], Order::Whole),
            share("profile", 20.0, &["LrRCrRCrRCrRCrRCrRCrRCrRCrRCrRCrRCrRCrRC"], Order::Whole),
            share("note", 20.0, &["bWC"], Order::Any),
        ],
        flushed: None,
        reads: &[],
        writes: &[],
    },
];

/// The SMB operations of the load file of dbench 4.0, in percent: the letter of each, and its share.
/// Queries of the file system (2.87 %) and of open files (2.75 %), and setting file information
/// (1.41 %) are not expressed.
pub(super) const OFFICE: [(char, f64); 11] = [
    ('R', 27.10),
    ('o', 17.29),
    ('S', 15.67),
    ('C', 12.70),
    ('W', 8.62),
    ('L', 6.06),
    ('D', 3.49),
    ('F', 1.21),
    ('N', 0.73),
    ('K', 0.06),
    ('U', 0.06),
];

/// The shares, in percent, of opens, path queries and searches that find nothing, and of opens that
/// create.
pub(super) const OFFICE_MISSING: [(char, f64); 3] = [('o', 26.5), ('S', 33.8), ('L', 51.6)];
pub(super) const OFFICE_CREATED: f64 = 20.0;

/// The sizes of reads that were published. The other 9.7 % have sizes that were not.
pub(super) const OFFICE_READS: &[Class] = &[
    exactly(4 * K, 67.0),
    exactly(60 * K, 13.4),
    exactly(8 * K, 3.7),
    exactly(2 * K, 3.7),
    exactly(16 * K, 1.6),
    exactly(512, 0.9),
];

/// The sizes of writes that were published. The other 16.9 % have sizes that were not.
pub(super) const OFFICE_WRITES: &[Class] = &[
    exactly(64 * K, 32.0),
    exactly(4 * K, 25.2),
    exactly(1, 18.8),
    exactly(2 * K, 4.2),
    exactly(8 * K, 2.9),
];

/// The quantiles 0.2, 0.4, 0.6 and 0.8 of the gamma distribution with shape 1.5, as multiples of its
/// mean. They solve `erf(sqrt(x)) - 2 * sqrt(x / pi) * exp(-x) = p` for x = 1.5 times the quantile:
/// the left side is the regularized lower incomplete gamma function P(3/2, x) (NIST Digital Library
/// of Mathematical Functions, 8.4.1 and 8.8.5).
const GAMMA_QUANTILES: [f64; 4] = [0.33506, 0.62306, 0.98206, 1.54721];

/// The same quantiles of the exponential distribution, `-ln(1 - p)`.
const EXPONENTIAL_QUANTILES: [f64; 4] = [0.22314, 0.51083, 0.91629, 1.60944];

/// Returns the five classes between the quantiles of a distribution with this mean.
const fn fifths(mean: u64, quantiles: [f64; 4]) -> [Class; 5] {
    let [a, b, c, d] = quantiles;
    let mean = mean as f64;
    let (a, b, c, d) = ((a * mean) as u64, (b * mean) as u64, (c * mean) as u64, (d * mean) as u64);
    [
        class(0, a, 20.0),
        class(a + 1, b, 20.0),
        class(b + 1, c, 20.0),
        class(c + 1, d, 20.0),
        class(d + 1, u64::MAX, 20.0),
    ]
}

const GAMMA_128K: [Class; 5] = fifths(128 * K, GAMMA_QUANTILES);
const GAMMA_16K: [Class; 5] = fifths(16 * K, GAMMA_QUANTILES);
/// Only the mean was published; that sizes are exponential is a guess of the script.
const EXPONENTIAL_16K: [Class; 5] = fifths(16 * K, EXPONENTIAL_QUANTILES);

/// The sizes of files that were published.
pub(super) struct FileSizes {
    pub script: &'static str,
    pub params: &'static [(&'static str, &'static str)],
    /// The beginning of the paths of the files, below the script's directory.
    pub directory: &'static str,
    pub mean: Option<f64>,
    pub classes: &'static [Class],
}

pub(super) const FILE_SIZES: &[FileSizes] = &[
    FileSizes {
        script: "software_build",
        params: &[("directories", "50"), ("files", "100")],
        directory: "process0/files/",
        mean: Some(16.0 * 1024.0),
        classes: &EXPONENTIAL_16K,
    },
    FileSizes {
        script: "chip_design",
        params: &[],
        directory: "front0/files/",
        mean: None,
        classes: &[exactly(16 * K, 100.0)],
    },
    FileSizes {
        script: "chip_design",
        params: &[],
        directory: "back0/files/",
        mean: None,
        classes: &[exactly(10 * M, 100.0)],
    },
    FileSizes {
        script: "image_training",
        params: &[],
        directory: "images/",
        mean: None,
        classes: &[exactly(M, 100.0)],
    },
    FileSizes {
        script: "image_training",
        params: &[("records", "1"), ("record_size", "140MiB")],
        directory: "records/",
        mean: None,
        classes: &[exactly(140 * M, 100.0)],
    },
    FileSizes {
        script: "genomics",
        params: &[("files", "1000"), ("largest", "100MiB")],
        directory: "job0/files/",
        mean: None,
        classes: &[
            class(1, 8 * K - 1, 38.0),
            class(8 * K, 128 * K - 1, 43.0),
            class(128 * K, M - 1, 9.0),
            class(M, 10 * M, 9.0),
            exactly(100 * M, 1.0),
        ],
    },
    FileSizes {
        script: "fileserver",
        params: &[("files", "5000"), ("threads", "5")],
        directory: "",
        mean: Some(128.0 * 1024.0),
        classes: &GAMMA_128K,
    },
    FileSizes {
        script: "varmail",
        params: &[("files", "5000"), ("threads", "5")],
        directory: "",
        mean: Some(16.0 * 1024.0),
        classes: &GAMMA_16K,
    },
    FileSizes {
        script: "webserver",
        params: &[("files", "5000")],
        directory: "pages/",
        mean: Some(16.0 * 1024.0),
        classes: &GAMMA_16K,
    },
    FileSizes {
        script: "network_file_server",
        params: &[("files", "5000")],
        directory: "user0/files/",
        mean: None,
        classes: &[
            exactly(K, 33.0),
            class(K + 1, 3 * K, 21.0),
            class(3 * K + 1, 5 * K, 13.0),
            class(5 * K + 1, 11 * K, 10.0),
            class(11 * K + 1, 21 * K, 8.0),
            class(21 * K + 1, 43 * K, 5.0),
            class(43 * K + 1, 85 * K, 4.0),
            class(85 * K + 1, 171 * K, 3.0),
            class(171 * K + 1, 341 * K, 2.0),
            class(341 * K + 1, 1707 * K, 1.0),
        ],
    },
];

/// The shares of a set's files that exist at first, in percent, as they were published.
pub(super) const EXISTING: [(&str, f64); 3] =
    [("fileserver", 80.0), ("varmail", 80.0), ("network_file_server", 60.0)];
