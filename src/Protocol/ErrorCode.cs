namespace KvStore.Protocol;

/// <summary>
/// Every way a request can end that is not plain success. One enum for REST problems, binary replies, client exceptions and
/// logs. Numbers are on the wire: never reused, never changed.
/// </summary>
public enum ErrorCode : ushort
{
    None = 0,

    InvalidRequest = 1,
    KeyNotAddressable = 2,
    CrossGroupTransaction = 3,
    SessionTokenInvalid = 4,
    Unauthenticated = 5,
    Forbidden = 6,
    KeyNotFound = 7,
    ConditionFailed = 8,
    NotANumber = 9,
    IdempotencyInFlight = 10,
    IdempotencyExpired = 11,
    IdempotencyReused = 12,
    Compacted = 13,
    TooLarge = 14,
    WrongNode = 15,
    Overloaded = 16,
    NoLeader = 17,
    TooStale = 18,
    Starting = 19,
    Draining = 20,
    Timeout = 21,
    Indeterminate = 22,
    NotOnAll = 23,
    DiskFull = 24,
    Internal = 25,

    /// <summary>The request asks for something that this node, or the group it is for, does not know yet.</summary>
    Unsupported = 26,

    /// <summary>The key belongs to a lease and may be changed by its holder only.</summary>
    Locked = 27,

    /// <summary>The fence the write carried is no longer that of the lock.</summary>
    Fenced = 28,
    QuotaExceeded = 29,

    /// <summary>The lease has ended.</summary>
    LeaseLost = 30,

    /// <summary>The request was done before, and the value it saw then has been overwritten since.</summary>
    Superseded = 31,
}

/// <summary>What a failed request did to the data. NotApplied is a proof; everything that is not proved is Unknown.</summary>
public enum Outcome : byte
{
    /// <summary>The question does not arise (a read).</summary>
    None = 0,
    NotApplied = 1,
    Unknown = 2,
    Applied = 3,
}
