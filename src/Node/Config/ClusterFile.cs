using System.Text;
using System.Text.Json;

namespace KvStore.Node.Config;

/// <summary>
/// Reads cluster.json strictly: an unknown key, a key given twice or a value of the wrong kind is an error that names the
/// path and, where one is close, the key that was probably meant.
/// </summary>
internal sealed class ClusterFile
{
    private readonly string _file;
    private readonly Dictionary<string, string> _values = [];

    private ClusterFile(string file) => _file = file;

    /// <summary>Scalars by path, as text; only those the file mentions.</summary>
    public IReadOnlyDictionary<string, string> Values => _values;

    /// <summary>In the order of the file.</summary>
    public IReadOnlyList<NodeConfig> Nodes { get; private set; } = [];

    public static ClusterFile Read(string file)
    {
        if (Directory.Exists(file))
        {
            throw new ConfigurationException($"cannot read {file}: it is a directory; name the file with --config FILE");
        }

        byte[] bytes;
        try
        {
            bytes = File.ReadAllBytes(file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ConfigurationException(
                $"cannot read {file}: {e.Message} Start in the folder of cluster.json, or name the file with --config FILE.", e);
        }

        return Parse(bytes, file);
    }

    public static ClusterFile Parse(ReadOnlyMemory<byte> json, string file)
    {
        var result = new ClusterFile(file);
        if (json.Span.StartsWith(Encoding.UTF8.Preamble))
        {
            // Editors of Windows put it there, and nobody can see it.
            json = json[Encoding.UTF8.Preamble.Length..];
        }

        try
        {
            using var document = JsonDocument.Parse(
                json, new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true });
            result.ReadRoot(document.RootElement);
        }
        catch (JsonException e)
        {
            throw new ConfigurationException($"{file} is not valid JSON: {WhereAndWhat(json.Span, e)}", e);
        }

        return result;
    }

    /// <summary>As an editor counts: from 1, a column per character.</summary>
    private static string WhereAndWhat(ReadOnlySpan<byte> json, JsonException failure)
    {
        int start = 0;
        for (long line = failure.LineNumber ?? 0; line > 0; line--)
        {
            start += json[start..].IndexOf((byte)'\n') + 1;
        }

        int at = Math.Min(start + (int)(failure.BytePositionInLine ?? 0), json.Length);
        string before = Encoding.UTF8.GetString(json[start..at]);
        string rest = Encoding.UTF8.GetString(json[at..]).TrimStart();
        string what = json.Trim(" \t\r\n"u8).IsEmpty ? "the file is empty"
            : rest.Length == 0 ? "the file ends before the last { or [ is closed; is it cut short?"
            : $"'{rest[0]}' cannot stand here; is a comma, a quote or a bracket missing before it?";
        return $"line {(failure.LineNumber ?? 0) + 1}, column {before.Length + 1}: {what}";
    }

    private void ReadRoot(JsonElement root)
    {
        var sections = SettingTable.All.Select(setting => setting.Path.Split('.')[0]).Distinct();
        foreach (var member in Members(root, string.Empty, [.. sections, "nodes", "$schema"]))
        {
            if (member.Name == "nodes")
            {
                ReadNodes(member.Value);
            }
            else if (member.Name != "$schema")
            {
                ReadSetting(member.Name, member.Value);
            }
        }

        if (Nodes.Count == 0)
        {
            throw Error("nodes", "is missing", "list at least one node with id, http, peer and binary");
        }
    }

    private void ReadSetting(string path, JsonElement value)
    {
        if (SettingTable.All.FirstOrDefault(setting => setting.Path == path) is { } setting)
        {
            _values[path] = Scalar(setting, value);
            return;
        }

        var known = SettingTable.All
            .Where(inner => inner.Path.StartsWith(path + ".", StringComparison.Ordinal))
            .Select(inner => inner.Path.Split('.')[1]);
        foreach (var member in Members(value, path, [.. known]))
        {
            ReadSetting($"{path}.{member.Name}", member.Value);
        }
    }

    private string Scalar(Setting setting, JsonElement value)
    {
        var text = (setting.Kind, value.ValueKind) switch
        {
            (SettingKind.Number, JsonValueKind.Number) => value.GetRawText(),
            (SettingKind.Flag, JsonValueKind.True or JsonValueKind.False) => value.GetRawText(),
            (SettingKind.Text or SettingKind.Choice or SettingKind.FilePath, JsonValueKind.String) => value.GetString()!,
            _ => null,
        };
        return text is not null && setting.Reject(setting.Canonical(text)) is null
            ? setting.Canonical(text)
            : throw Error(setting.Path, $"is {value.GetRawText()}", "it must be " + (setting.Reject(text ?? "?") ?? "a plain value"));
    }

    private void ReadNodes(JsonElement list)
    {
        if (list.ValueKind != JsonValueKind.Array || list.GetArrayLength() > SettingTable.MaxNodes)
        {
            throw Error("nodes", "is not a list", $"write a JSON array of at most {SettingTable.MaxNodes} nodes");
        }

        var nodes = new List<NodeConfig>();
        foreach (var item in list.EnumerateArray())
        {
            nodes.Add(ReadNode(item, $"nodes[{nodes.Count}]"));
        }

        if (nodes.GroupBy(node => node.Id, StringComparer.OrdinalIgnoreCase).FirstOrDefault(same => same.Count() > 1) is { } twice)
        {
            throw Error(
                "nodes", $"names the id \"{twice.Key}\" more than once", "give every node its own id (case does not tell them apart)");
        }

        var taken = nodes.SelectMany(node => node.Addresses).Where(address => address.Port != 0);
        if (taken.GroupBy(address => $"{address}", StringComparer.OrdinalIgnoreCase).FirstOrDefault(same => same.Count() > 1) is { } shared)
        {
            throw Error("nodes", $"uses the address {shared.Key} more than once", "give every http, peer and binary address its own port");
        }

        Nodes = nodes;
    }

    private NodeConfig ReadNode(JsonElement item, string path)
    {
        var text = new Dictionary<string, string>();
        var weight = 1;
        foreach (var member in Members(item, path, SettingTable.NodeKeys))
        {
            if (member.Name == "weight")
            {
                weight = member.Value.ValueKind == JsonValueKind.Number && member.Value.TryGetInt32(out var number)
                    && number is >= 1 and <= SettingTable.MaxWeight
                    ? number
                    : throw Error(
                        $"{path}.weight",
                        $"is {member.Value.GetRawText()}",
                        $"it must be a whole number from 1 to {SettingTable.MaxWeight}");
            }
            else
            {
                text[member.Name] = member.Value.ValueKind == JsonValueKind.String
                    ? member.Value.GetString()!
                    : throw Error($"{path}.{member.Name}", $"is {member.Value.GetRawText()}", "it must be a text in quotes");
            }
        }

        var id = text.GetValueOrDefault("id") ?? throw Error($"{path}.id", "is missing", "every node needs one");
        if (!Names.IsValid(id))
        {
            throw Error($"{path}.id", $"is \"{id}\"", $"it must be {Names.Rule}");
        }

        var zone = text.GetValueOrDefault("zone", "default");
        if (!Names.IsValid(zone))
        {
            throw Error($"{path}.zone", $"is \"{zone}\"", $"it must be {Names.Rule}");
        }

        var listen = Host("listen");
        var advertise = Host("advertise");
        return new NodeConfig(id, Address("http"), Address("peer"), Address("binary"), zone, weight);

        string? Host(string key) => text.GetValueOrDefault(key) switch
        {
            null => null,
            var host when NodeAddress.TryParseHost(host, out var plain) => plain,
            var host => throw Error(
                $"{path}.{key}", $"is \"{host}\"", $"it must be {NodeAddress.HostRule} without a port, such as db1.example, 10.0.0.1 or [::1]"),
        };

        NodeAddress Address(string key)
        {
            var address = text.GetValueOrDefault(key)
                ?? throw Error($"{path}.{key}", "is missing", "every node needs one, such as 127.0.0.1:7101");
            if (!NodeAddress.TryParse(address, out var written))
            {
                throw Error(
                    $"{path}.{key}", $"is \"{address}\"",
                    $"it must be {NodeAddress.HostRule} and a port, such as 127.0.0.1:7101, [::1]:7101 or db1.example:7101");
            }

            var told = new NodeAddress(advertise ?? written!.Host, written!.Port) { ListenHost = listen ?? written.Host };
            return told.IsAny
                ? throw Error(
                    $"{path}.{key}", $"is \"{address}\", which nobody can dial",
                    "say in \"advertise\" under which name or address others reach this node, or put that here and 0.0.0.0 into \"listen\"")
                : told;
        }
    }

    private List<JsonProperty> Members(JsonElement element, string path, IReadOnlyList<string> known)
    {
        if (element.ValueKind != JsonValueKind.Object)
        {
            throw Error(path.Length == 0 ? "the file" : path, $"is not an object", "write { \"key\": value, ... }");
        }

        var members = new List<JsonProperty>();
        foreach (var member in element.EnumerateObject())
        {
            var full = path.Length == 0 ? member.Name : $"{path}.{member.Name}";
            if (!known.Contains(member.Name))
            {
                var nearest = Names.Nearest(member.Name, known);
                var remedy = nearest is null ? $"known here: {string.Join(", ", known)}" : $"did you mean \"{nearest}\"?";
                throw Error(full, "is not a known key", remedy);
            }

            if (members.Any(earlier => earlier.Name == member.Name))
            {
                throw Error(full, "is given twice", "keep one of them");
            }

            members.Add(member);
        }

        return members;
    }

    private ConfigurationException Error(string path, string what, string remedy) => new($"{_file}: {path} {what}; {remedy}");
}
