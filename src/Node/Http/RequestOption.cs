using System.Collections.Frozen;

namespace KvStore.Node.Http;

[Flags]
internal enum RequestKinds : byte
{
    None = 0,
    Get = 1,
    Put = 2,
    Delete = 4,
    Increment = 8,
    Write = Put | Delete | Increment,
    Any = Get | Write,
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
    public static readonly RequestOption[] All =
    [
        new(OptionId.Consistency, "Kv-Consistency", "consistency", RequestKinds.Get, "strong, eventual",
            "What the read must prove: strong is linearizable; eventual is answered by any replica at once."),
        new(OptionId.Timeout, "Kv-Timeout", "timeout", RequestKinds.Any, "a duration like 500ms, 5s or 1m, at most 60s",
            "How long the node may take; 5s when absent."),
        new(OptionId.Route, "Kv-Route", "route", RequestKinds.Any, "proxy, redirect, strict",
            "What a node does that cannot answer itself: pass the request on (proxy), answer 307 (redirect) or 421 (strict)."),
        new(OptionId.Ack, "Kv-Ack", "ack", RequestKinds.Write, "majority",
            "Who has made the write durable before the answer."),
        new(OptionId.OnUnmet, "Kv-On-Unmet", "onUnmet", RequestKinds.Get, "forward",
            "What happens when this node cannot prove the level asked for."),
        new(OptionId.IfMatch, "If-Match", "ifMatch", RequestKinds.Get | RequestKinds.Put | RequestKinds.Delete, "one strong ETag, or *",
            "Only if the key has this ETag; * means any."),
        new(OptionId.IfNoneMatch, "If-None-Match", "ifNoneMatch", RequestKinds.Get | RequestKinds.Put,
            "* to create only; on GET ETags or *",
            "PUT: only if the key does not exist. GET: 304 when the key still has this ETag."),
        new(OptionId.IdempotencyKey, "Idempotency-Key", "idempotencyKey", RequestKinds.Write,
            "1 to 128 printable ASCII characters, bare or quoted",
            "The same key with the same request is executed once within ten minutes."),
        new(OptionId.FirstSent, "Kv-First-Sent", "firstSent", RequestKinds.Write, "unix milliseconds, together with Idempotency-Key",
            "When the request was sent for the first time: a duplicate that comes too late is refused instead of executed."),
        new(OptionId.Format, null, "format", RequestKinds.Get, "json, raw",
            "json wraps the value in an envelope, like Accept: application/json."),
        new(OptionId.Strict, null, "strict", RequestKinds.Delete, "true, false, or nothing, which means true",
            "404 when there was nothing to delete."),
        new(OptionId.MaxStaleness, "Kv-Max-Staleness", "maxStaleness", RequestKinds.Any, "", "", Offered: false),
        new(OptionId.Session, "Kv-Session", "session", RequestKinds.Any, "", "", Offered: false),
        new(OptionId.MaxLag, "Kv-Max-Lag", "maxLag", RequestKinds.Any, "", "", Offered: false),
        new(OptionId.Ttl, "Kv-Ttl", "ttl", RequestKinds.Any, "", "", Offered: false),
    ];

    public static readonly FrozenDictionary<string, RequestOption> ByHeader =
        All.Where(o => o.Header is not null).ToFrozenDictionary(o => o.Header!, StringComparer.OrdinalIgnoreCase);

    public static readonly FrozenDictionary<string, RequestOption> ByQuery =
        All.Where(o => o.Query is not null).ToFrozenDictionary(o => o.Query!, StringComparer.Ordinal);

    /// <summary>How messages call it: the header where there is one.</summary>
    public string Name => Header ?? "?" + Query;

    public Problem Refuse(string value) => Problem.Invalid(
        $"{Name} is '{Shortened(value)}'; accepted: {Accepts}.");

    private static string Shortened(string value) => value.Length <= 64 ? value : value[..64] + "…";
}
