using System.Globalization;
using System.Numerics;
using System.Text.Json;
using KvStore.Node.Config;

namespace KvStore.Node.Tests.Config;

/// <summary>docs/cluster.schema.json is for editors; it must say what the program does.</summary>
public class SchemaTests
{
    private static JsonElement Schema { get; } =
        JsonDocument.Parse(File.ReadAllText(Path.Combine(Repository.Root, "docs", "cluster.schema.json"))).RootElement;

    [Fact]
    public void Schema_and_program_know_the_same_keys()
    {
        var inSchema = Keys(Schema, string.Empty).Where(path => path is not "$schema" and not "nodes");
        Assert.Equal(SettingTable.All.Select(setting => setting.Path).Order(), inSchema.Order());
        Assert.Equal(SettingTable.NodeKeys, Node.GetProperty("properties").EnumerateObject().Select(key => key.Name));
    }

    [Fact]
    public void Schema_and_program_agree_on_defaults_ranges_and_choices()
    {
        foreach (var setting in SettingTable.All)
        {
            var schema = setting.Path.Split('.').Aggregate(Schema, (parent, key) => parent.GetProperty("properties").GetProperty(key));
            Assert.Equal(setting.Description, schema.GetProperty("description").GetString());
            Assert.Equal(setting.Default, schema.TryGetProperty("default", out var value) ? Text(value) : null);

            var probes = setting.Kind switch
            {
                SettingKind.Number when schema.TryGetProperty("enum", out var list) =>
                    list.EnumerateArray().Select(item => item.GetInt64()),
                SettingKind.Number when schema.TryGetProperty("maximum", out var max) =>
                    [schema.GetProperty("minimum").GetInt64(), max.GetInt64()],
                SettingKind.Number => [schema.GetProperty("minimum").GetInt64(), long.MaxValue],
                _ => [],
            };
            Assert.All(probes, number => Assert.Null(setting.Reject(number.ToString(CultureInfo.InvariantCulture))));
            if (setting.Kind == SettingKind.Number)
            {
                Assert.Equal((setting.Min, setting.Max), (probes.Min(), probes.Max()));
                Assert.True(!setting.PowerOfTwo || probes.Count() == 1 + BitOperations.Log2((ulong)setting.Max), setting.Path);
            }
            else if (setting.Kind == SettingKind.Choice)
            {
                Assert.Equal(setting.Choices, schema.GetProperty("enum").EnumerateArray().Select(item => item.GetString()));
            }
        }
    }

    private static JsonElement Node => Schema.GetProperty("properties").GetProperty("nodes").GetProperty("items");

    private static IEnumerable<string> Keys(JsonElement schema, string prefix)
    {
        foreach (var key in schema.GetProperty("properties").EnumerateObject())
        {
            if (key.Value.TryGetProperty("properties", out _))
            {
                Assert.False(key.Value.GetProperty("additionalProperties").GetBoolean());
                foreach (var inner in Keys(key.Value, $"{prefix}{key.Name}."))
                {
                    yield return inner;
                }
            }
            else
            {
                yield return prefix + key.Name;
            }
        }
    }

    private static string Text(JsonElement value) => value.ValueKind == JsonValueKind.String ? value.GetString()! : value.GetRawText();
}
