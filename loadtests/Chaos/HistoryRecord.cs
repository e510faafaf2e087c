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
    public const string Eventual = "eventual";

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
    public string? Level { get; init; }
    public long? AgeMs { get; init; }

    /// <summary>Who served it, by its own word; for a failure the node that was asked last.</summary>
    public string? Node { get; init; }

    public uint? Group { get; init; }
    public ulong? Term { get; init; }
    public ulong? Applied { get; init; }

    /// <summary>Revision of what was written or read.</summary>
    public ulong? Version { get; init; }

    /// <summary>A read after the last fault and the last write: every node must show the same.</summary>
    public bool Final { get; init; }
}

/// <summary>Writes enums in lower case, as the format has them.</summary>
internal sealed class LowerCaseOutcome() : JsonStringEnumConverter<OperationOutcome>(System.Text.Json.JsonNamingPolicy.SnakeCaseLower);

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingDefault,
    Converters = [typeof(LowerCaseOutcome)])]
[JsonSerializable(typeof(HistoryRecord))]
internal sealed partial class HistoryJson : JsonSerializerContext;
