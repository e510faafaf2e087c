using System.Collections.Frozen;
using KvStore.Protocol;

namespace KvStore.Node.Http;

[Flags]
internal enum RequestKinds : byte
{
    None = 0,

    /// <summary>It answers with what is stored.</summary>
    Read = 1,

    /// <summary>It goes through the log.</summary>
    Write = 2,

    /// <summary>A read that is talked about, not made (GET /v1/explain).</summary>
    Explain = 4,

    /// <summary>It takes If-Match.</summary>
    Match = 8,

    /// <summary>It takes If-None-Match: a write to create only, a read to be told whether something has changed.</summary>
    Create = 16,

    /// <summary>It leaves nothing behind.</summary>
    Remove = 32,

    ReadOrWrite = Read | Write,
    ReadOrExplain = Read | Explain,
}

internal enum OptionId : byte
{
    Consistency,
    Timeout,
    Route,
    Ack,
    OnUnmet,
    IfMatch,
    IfNoneMatch,
    IdempotencyKey,
    FirstSent,
    Format,
    Strict,
    MaxStaleness,
    Session,
    MaxLag,
    KeyEncoding,
    Ttl,
}

/// <summary>
/// One thing a client may say about a data request: a header, its query twin, and what both accept. The parser and the OpenAPI
/// document are made from this table, so neither can forget the other.
/// </summary>
/// <param name="Id">Index into <see cref="OptionValues"/>.</param>
/// <param name="Header">Null for options that exist in the query only.</param>
/// <param name="Query">Null for options that exist as a header only.</param>
/// <param name="Kinds">Requests it says something about. Elsewhere it is ignored: clients may send defaults with everything.</param>
/// <param name="Accepts">The accepted values, in words that fit behind "accepted:".</param>
/// <param name="Summary">One sentence for the document.</param>
/// <param name="Offered">False: part of the interface, not built yet; refused by name, because silence would promise it.</param>
internal sealed record RequestOption(
    OptionId Id, string? Header, string? Query, RequestKinds Kinds, string Accepts, string Summary, bool Offered = true)
{
    /// <summary>A value to try, for the document; null when every choice would be arbitrary.</summary>
    public string? Example { get; init; }

    public static readonly RequestOption[] All =
    [
        new(OptionId.Consistency, "Kv-Consistency", "consistency", RequestKinds.ReadOrExplain, "strong, bounded, session, eventual",
            "What the read must prove. strong: nothing acknowledged before it is missing; bounded: nothing acknowledged longer ago than "
                + "Kv-Max-Staleness; session: nothing its Kv-Session token has seen; eventual: no proof. Absent: the cluster's default.")
            { Example = "bounded" },
        new(OptionId.MaxStaleness, "Kv-Max-Staleness", "maxStaleness", RequestKinds.ReadOrExplain,
            "a duration from 1ms to 24h, like 500ms, 5s or 1m",
            "How old the answer of a bounded read may be. A bound without Kv-Consistency asks for bounded.") { Example = "500ms" },
        new(OptionId.MaxLag, "Kv-Max-Lag", "maxLag", RequestKinds.ReadOrExplain, "a number of log entries, 0 or more",
            "By how many log entries of its group the answering replica of a bounded read may be behind; with Kv-Max-Staleness both hold.")
            { Example = "100" },
        new(OptionId.Session, "Kv-Session", "session", RequestKinds.ReadOrWrite | RequestKinds.Explain,
            "a token exactly as a Kv-Session header or GET /v1/session gave it; none begins a session",
            "What the session has seen. The answer's Kv-Session is this token and what the answer adds to it: send that one next."),
        new(OptionId.OnUnmet, "Kv-On-Unmet", "onUnmet", RequestKinds.ReadOrExplain, "forward, fail, serve",
            "What happens when this node cannot prove the level asked for: it asks the leader or another replica (forward, the default), "
                + "gives up at once (fail), or answers all the same (serve; the answer's Kv-Consistency says which level it met).")
            { Example = "fail" },
        new(OptionId.Timeout, "Kv-Timeout", "timeout", RequestKinds.ReadOrWrite, "a duration like 500ms, 5s or 1m, at most 60s",
            "How long the node may take; 5s when absent.") { Example = "2s" },
        new(OptionId.Route, "Kv-Route", "route", RequestKinds.ReadOrWrite, "proxy, redirect, strict",
            "What a node does that cannot answer itself: pass the request on (proxy), answer 307 (redirect) or 421 (strict)."),
        new(OptionId.Ack, "Kv-Ack", "ack", RequestKinds.Write, "majority, all",
            "Who has made the write durable before the answer: a majority of the replicas (the default), or every one of them.")
            { Example = "all" },
        new(OptionId.IfMatch, "If-Match", "ifMatch", RequestKinds.Match, "one strong ETag, or *",
            "Only if the key has this ETag; * means any."),
        new(OptionId.IfNoneMatch, "If-None-Match", "ifNoneMatch", RequestKinds.Create,
            "* to create only; on GET ETags or *",
            "PUT: only if the key does not exist. GET: 304 when the key still has this ETag."),
        new(OptionId.IdempotencyKey, "Idempotency-Key", "idempotencyKey", RequestKinds.Write,
            "1 to 128 printable ASCII characters, bare or quoted",
            "The same key with the same request is executed once within ten minutes. A version 7 UUID also says when it was first sent.")
            { Example = "order-17" },
        new(OptionId.FirstSent, "Kv-First-Sent", "firstSent", RequestKinds.Write, "unix milliseconds, together with Idempotency-Key",
            "When the request was sent for the first time: a duplicate that comes too late is refused instead of executed."),
        new(OptionId.Format, null, "format", RequestKinds.Read, "json, raw",
            "json wraps the value in an envelope, like Accept: application/json."),
        new(OptionId.Strict, null, "strict", RequestKinds.Remove, "true, false, or nothing, which means true",
            "404 when there was nothing to delete."),
        new(OptionId.KeyEncoding, null, "keyEncoding", RequestKinds.Explain, "text, base64url",
            "base64url: the key in the path is written as after /v1/b64/."),
        new(OptionId.Ttl, "Kv-Ttl", "ttl", RequestKinds.ReadOrWrite, "", "", Offered: false),
    ];

    public static readonly FrozenDictionary<string, RequestOption> ByHeader =
        All.Where(o => o.Header is not null).ToFrozenDictionary(o => o.Header!, StringComparer.OrdinalIgnoreCase);

    public static readonly FrozenDictionary<string, RequestOption> ByQuery =
        All.Where(o => o.Query is not null).ToFrozenDictionary(o => o.Query!, StringComparer.Ordinal);

    /// <summary>How messages call it: the header where there is one.</summary>
    public string Name => Header ?? "?" + Query;

    public Problem Refuse(string value) => Problem.Invalid(
        $"{Name} is '{Excerpt.Of(value)}'; accepted: {Accepts}.");
}
