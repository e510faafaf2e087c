using System.Globalization;
using System.Text.Json.Serialization;

namespace KvStore.LoadTests.Chaos;

/// <summary>What is known about an operation when its process goes on.</summary>
internal enum OperationOutcome
{
    /// <summary>It took effect, or was read, between call and return.</summary>
    Ok = 1,

    /// <summary>It has certainly not taken effect and never will.</summary>
    Fail,

    /// <summary>It may have taken effect, or may still do so at any later time.</summary>
    Unknown,
}

/// <summary>
/// One line of history.jsonl. Times are nanoseconds of one monotonic clock since the start of the run; a process has one open
/// operation at a time; what does not apply is left out, except return_ns, which is null when the outcome is unknown.
/// </summary>
internal sealed record HistoryRecord
{
    public const string Put = "put";
    public const string Get = "get";
    public const string Strong = "strong";
    public const string Bounded = "bounded";
    public const string SessionLevel = "session";
    public const string Session_ = "session";
    public const string Eventual = "eventual";
    public const string Serve = "serve";

    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public required int Process { get; init; }

    public required string Op { get; init; }
    public required string Key { get; init; }

    /// <summary>Of a put: written once in the whole run.</summary>
    public string? Value { get; init; }

    /// <summary>Of a get: what was found; absent when nothing was.</summary>
    public string? Result { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public required long CallNs { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public required long? ReturnNs { get; init; }

    public required OperationOutcome Outcome { get; init; }

    /// <summary>Of a get: the level the answer says it met; the one asked for when there was no answer.</summary>
    public string? Level { get; init; }

    /// <summary>The level asked for, where the answer met another one.</summary>
    public string? Asked { get; init; }

    /// <summary>What was to happen to a read whose level could not be met, unless it was to be forwarded.</summary>
    public string? OnUnmet { get; init; }

    /// <summary>The largest age that was asked for.</summary>
    public long? BoundMs { get; init; }

    /// <summary>The age the answer showed; absent when it was unknown.</summary>
    public long? AgeMs { get; init; }

    /// <summary>The token it was sent with: applied entry per group. Absent when its process carries none.</summary>
    public IReadOnlyDictionary<uint, ulong>? Session { get; init; }

    /// <summary>Code of the last refusal, when the operation did not succeed.</summary>
    public string? Error { get; init; }

    /// <summary>Who served it, by its own word; for a failure the node that was asked last.</summary>
    public string? Node { get; init; }

    public uint? Group { get; init; }
    public ulong? Term { get; init; }
    public ulong? Applied { get; init; }

    /// <summary>Revision of what was written or read.</summary>
    public ulong? Version { get; init; }

    /// <summary>A read after the last fault and the last write: every node must show the same.</summary>
    public bool Final { get; init; }

    /// <summary>What was written or found, null for nothing.</summary>
    [JsonIgnore]
    public string? Shown => Op == Put ? Value : Result;

    /// <summary>For the story of a violation.</summary>
    public string Tell() =>
        $"{Op} '{Shown ?? "nothing"}' ({Outcome}, {Level ?? "-"}, age {AgeMs?.ToString(CultureInfo.InvariantCulture) ?? "-"} ms, revision {Version}, {CallNs}-{ReturnNs} ns, " +
        $"process {Process}, node {Node}, group {Group}, term {Term}, applied {Applied})";
}

/// <summary>Writes enums in lower case, as the format has them.</summary>
internal sealed class LowerCaseOutcome() : JsonStringEnumConverter<OperationOutcome>(System.Text.Json.JsonNamingPolicy.SnakeCaseLower);

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingDefault,
    Converters = [typeof(LowerCaseOutcome)])]
[JsonSerializable(typeof(HistoryRecord))]
internal sealed partial class HistoryJson : JsonSerializerContext;
