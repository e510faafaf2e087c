using System.Text.Json;
using KvStore.Client;

namespace KvStore.Cli.Commands;

/// <summary>What a line of a batch file can ask for.</summary>
/// <param name="Names">As "op" says it; the first is the usual one.</param>
/// <param name="Required">Members beside "op" and "key" that must be there.</param>
/// <param name="Optional">Those that may be.</param>
/// <param name="AddTo">Makes it a call of its own.</param>
/// <param name="AddToAtomic">Makes it one of the writes that are done together; null when it is no write.</param>
internal sealed record BatchVerb(
    string[] Names,
    string[] Required,
    string[] Optional,
    Func<KvBatch, BatchLine, KvBatch> AddTo,
    Func<KvTransaction, BatchLine, KvTransaction>? AddToAtomic)
{
    public static IReadOnlyList<BatchVerb> All { get; } =
    [
        new(["get"], [], [], (batch, line) => batch.Get(line.Key), null),
        new(["put"], ["value"], [], (batch, line) => batch.Put(line.Key, line.Value), (all, line) => all.Put(line.Key, line.Value)),
        new(["append"], ["value"], [], (batch, line) => batch.Append(line.Key, line.Value), (all, line) => all.Append(line.Key, line.Value)),
        new(["delete", "del"], [], [], (batch, line) => batch.Delete(line.Key), (all, line) => all.Delete(line.Key)),
        new(["incr"], [], ["delta", "initial"], (batch, line) => batch.Increment(line.Key, line.Delta, line.Initial),
            (all, line) => all.Increment(line.Key, line.Delta, line.Initial)),
    ];
}

/// <summary>One line of a batch file: a JSON object with the members of its verb and no others, each once.</summary>
/// <param name="Number">Of the line in the file, from 1.</param>
/// <param name="Verb">What it asks for.</param>
/// <param name="Op">As the line says it.</param>
/// <param name="Key">Of the call.</param>
internal sealed record BatchLine(int Number, BatchVerb Verb, string Op, string Key)
{
    private static readonly JsonDocumentOptions Strictly = new() { AllowDuplicateProperties = false };

    public string Value { get; private init; } = "";

    public long Delta { get; private init; } = 1;

    public long Initial { get; private init; }

    /// <summary>Lines without anything on them are passed over.</summary>
    /// <exception cref="ArgumentException">A line is not what it must be: its number, what is wrong, and what is known.</exception>
    public static IEnumerable<BatchLine> ParseAll(string text) => text.Split('\n')
        .Select((line, i) => (Text: line.Trim(), Number: i + 1))
        .Where(line => line.Text.Length > 0)
        .Select(line => Parse(line.Number, line.Text));

    private static BatchLine Parse(int number, string line)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(line, Strictly);
            return document.RootElement.ValueKind == JsonValueKind.Object
                ? Parse(number, document.RootElement)
                : throw Wrong(number, "is no JSON object");
        }
        catch (JsonException e)
        {
            throw Wrong(number, $"is no JSON object: {e.Message}");
        }
    }

    private static BatchLine Parse(int number, JsonElement line)
    {
        string op = TextOf(number, line, "op");
        BatchVerb verb = BatchVerb.All.FirstOrDefault(verb => verb.Names.Contains(op))
            ?? throw Wrong(number, $"has the op \"{op}\"; known are {string.Join(", ", BatchVerb.All.SelectMany(verb => verb.Names))}");
        string[] known = ["op", "key", .. verb.Required, .. verb.Optional];
        if (line.EnumerateObject().Select(member => member.Name).FirstOrDefault(name => !known.Contains(name)) is { } unknown)
        {
            throw Wrong(number, $"has the member \"{unknown}\"; a {op} knows {string.Join(", ", known)}");
        }

        return new BatchLine(number, verb, op, TextOf(number, line, "key"))
        {
            Value = verb.Required.Contains("value") ? TextOf(number, line, "value") : "",
            Delta = NumberOf(number, line, "delta", 1),
            Initial = NumberOf(number, line, "initial", 0),
        };
    }

    private static string TextOf(int number, JsonElement line, string member) =>
        !line.TryGetProperty(member, out JsonElement element) ? throw Wrong(number, $"has no \"{member}\"")
        : element.ValueKind == JsonValueKind.String ? element.GetString()!
        : throw Wrong(number, $"has a \"{member}\" that is no text");

    private static long NumberOf(int number, JsonElement line, string member, long otherwise) =>
        !line.TryGetProperty(member, out JsonElement element) ? otherwise
        : element.ValueKind == JsonValueKind.Number && element.TryGetInt64(out long value) ? value
        : throw Wrong(number, $"has a \"{member}\" that is no whole number of 64 bits");

    private static ArgumentException Wrong(int number, string problem) => new($"line {number} {problem}; nothing of the file was done");
}
