using System.Buffers.Text;
using System.Text;
using System.Text.Json;
using KvStore.Node.Config;
using KvStore.Protocol;

namespace KvStore.Node.Http;

/// <summary>A JSON body does not have the shape it must have. The message names the member, as a path, and what it must be.</summary>
internal sealed class JsonShapeException(string message) : Exception(message)
{
    /// <summary>
    /// Whether a stranger's bytes are to blame: what <see cref="System.Text.Json"/> throws at bytes that are no JSON, and at names and texts
    /// that are JSON and no text, such as half of a surrogate pair.
    /// </summary>
    public static bool IsCause(Exception error) => error is JsonException or InvalidOperationException or FormatException;

    /// <param name="fault">One of <see cref="IsCause"/>.</param>
    public static JsonShapeException Of(Exception fault) => new(fault is JsonException { LineNumber: { } line, BytePositionInLine: { } column }
        ? $"The body is not the JSON that is asked for: line {line + 1}, byte {column + 1} is wrong."
        : "The body is not the JSON that is asked for: a member is there twice, or a name or a text is none, such as half of a surrogate pair.");
}

/// <summary>
/// One object of a JSON body, read member by member. Whoever reads it takes the members it knows; <see cref="End"/> refuses what nobody took, so
/// that a mistyped member never counts as one that was left out.
/// </summary>
internal sealed class OperationJson
{
    private readonly JsonElement _object;
    private readonly string _path;
    private readonly HashSet<string> _taken = [];

    public OperationJson(JsonElement element, string path)
    {
        (_object, _path) = (element, path);
        if (element.ValueKind != JsonValueKind.Object)
        {
            throw Wrong("", "must be an object");
        }
    }

    /// <summary>"op": which operation it is.</summary>
    public string Operation => RequiredText("op");

    /// <summary>"key", as text; or its bytes in base64url when "keyEncoding" says so.</summary>
    public byte[] Key
    {
        get
        {
            string key = RequiredText("key");
            if (Choice("keyEncoding", "utf8", "base64url") == "utf8")
            {
                return Encoding.UTF8.GetBytes(key);
            }

            try
            {
                return Base64Url.DecodeFromChars(key);
            }
            catch (FormatException)
            {
                throw Wrong("key", "must be base64url, as keyEncoding says");
            }
        }
    }

    /// <summary>"value", as text; or its bytes in base64 when "encoding" says so.</summary>
    public byte[] Value
    {
        get
        {
            string value = RequiredText("value");
            if (Choice("encoding", "utf8", "base64") == "utf8")
            {
                return Encoding.UTF8.GetBytes(value);
            }

            try
            {
                return Convert.FromBase64String(value);
            }
            catch (FormatException)
            {
                throw Wrong("value", "must be base64, as encoding says");
            }
        }
    }

    /// <summary>"contentType"; null when it is left out.</summary>
    public string? ContentType => Take("contentType") is not { } element ? null
        : TextOf(element, "contentType") is { Length: > 0 and <= Limits.MaxContentTypeBytes } type && !type.AsSpan().ContainsAnyExceptInRange(' ', '~') ? type
        : throw Wrong("contentType", $"must be 1 to {Limits.MaxContentTypeBytes} printable ASCII characters");

    /// <summary>The content type of a value that is written: what is said; otherwise text is text/plain, and bytes are bytes.</summary>
    public string? ContentTypeToStore => ContentType ?? (Choice("encoding", "utf8", "base64") == "utf8" ? "text/plain" : null);

    /// <summary>"ifMatch": an ETag, a revision, or "*"; "ifAbsent": true.</summary>
    public KvCondition Condition
    {
        get
        {
            bool absent = Take("ifAbsent") is { } flag && (flag.ValueKind is JsonValueKind.True or JsonValueKind.False
                ? flag.GetBoolean()
                : throw Wrong("ifAbsent", "must be true or false"));
            if (Take("ifMatch") is not { } match)
            {
                return absent ? new KvCondition(ConditionKind.Absent) : default;
            }

            return absent ? throw Wrong("ifMatch", "cannot be there beside ifAbsent")
                : TextOf(match, "ifMatch") is "*" ? new KvCondition(ConditionKind.Exists)
                : new KvCondition(ConditionKind.RevisionIs, RevisionOf(TextOf(match, "ifMatch"), "ifMatch"));
        }
    }

    /// <summary>A whole number of 64 bits, or a text of one, which JavaScript does not round.</summary>
    public long Number(string name, long otherwise) => Take(name) switch
    {
        null => otherwise,
        { ValueKind: JsonValueKind.Number } element when element.TryGetInt64(out long number) => number,
        { ValueKind: JsonValueKind.String } element when long.TryParse(
            TextOf(element, name), System.Globalization.NumberStyles.AllowLeadingSign, System.Globalization.CultureInfo.InvariantCulture, out long number) => number,
        _ => throw Wrong(name, "must be a whole number of 64 bits"),
    };

    /// <summary>"is": what a condition asks of its key.</summary>
    public KeyCondition KeyCondition()
    {
        byte[] key = Key;
        JsonElement asked = Take("is") ?? throw Wrong("is", "is missing");
        if (asked.ValueKind == JsonValueKind.String)
        {
            return TextOf(asked, "is") switch
            {
                "absent" => Protocol.KeyCondition.Absent(key),
                "exists" => Protocol.KeyCondition.Exists(key),
                _ => throw Wrong("is", """must be "absent", "exists", {"revision": …} or {"value": …}"""),
            };
        }

        OperationJson version = new(asked, $"{_path}.is");
        KeyCondition condition = version.Take("revision") is { } revision
            ? Protocol.KeyCondition.RevisionIs(key, version.RevisionOf(version.TextOf(revision, "revision"), "revision"))
            : version.ContentType is { } type ? Protocol.KeyCondition.StoredIs(key, version.Value, type)
            : Protocol.KeyCondition.ValueIs(key, version.Value);
        version.End();
        return condition;
    }

    /// <summary>The elements of a list; none when it is left out.</summary>
    public IEnumerable<OperationJson> List(string name)
    {
        if (Take(name) is not { } list)
        {
            return [];
        }

        return list.ValueKind == JsonValueKind.Array
            ? list.EnumerateArray().Select((element, i) => new OperationJson(element, Under(name) + $"[{i}]"))
            : throw Wrong(name, "must be a list");
    }

    public void End()
    {
        foreach (JsonProperty member in _object.EnumerateObject())
        {
            if (!_taken.Contains(member.Name))
            {
                string? meant = member.Name.Length > Excerpt.MaxBytes ? null : Names.Nearest(member.Name, _taken);
                throw Wrong(Excerpt.Of(member.Name), meant is null ? "is not known here" : $"is not known here; did you mean {meant}?");
            }
        }
    }

    /// <param name="member">Of ours; of a stranger's name an <see cref="Excerpt"/>.</param>
    /// <param name="problem">What it must be.</param>
    public JsonShapeException Wrong(string member, string problem) => new($"{Under(member)} {problem}.");

    private ulong RevisionOf(string text, string member) =>
        ETag.RevisionOf(text.StartsWith('"') ? text : $"\"{text}\"") is not ETag.NoRevision and var revision
            ? revision
            : throw Wrong(member, "must be a revision, or an ETag with its quotes");

    private string RequiredText(string name) => TextOf(Take(name) ?? throw Wrong(name, "is missing"), name);

    private string TextOf(JsonElement element, string name)
    {
        try
        {
            return element.ValueKind == JsonValueKind.String ? element.GetString()! : throw Wrong(name, "must be a text");
        }
        catch (InvalidOperationException)
        {
            throw Wrong(name, "has half of a surrogate pair, which is no character"); // such as "\ud800"
        }
    }

    private string Choice(string name, string usual, string other) => Take(name) is not { } element ? usual
        : TextOf(element, name) is var text && (text == usual || text == other) ? text
        : throw Wrong(name, $"must be \"{usual}\" or \"{other}\"");

    private JsonElement? Take(string name)
    {
        _taken.Add(name);
        return _object.TryGetProperty(name, out JsonElement element) ? element : null;
    }

    private string Under(string member) => _path.Length == 0 ? member : member.Length == 0 ? _path : $"{_path}.{member}";
}
