using System.Reflection;
using System.Runtime.CompilerServices;
using Xunit.Abstractions;

namespace KvStore.Architecture.Tests;

/// <summary>
/// What one object of Replication holds: its fields, those it inherits, and those of the structs among them. Above fifteen a class has more than
/// one idea in it. The numbers below are of those that have, as they are: one may be lowered and never raised, and none may come.
/// </summary>
public sealed class FieldTests(ITestOutputHelper output)
{
    private const int Most = 15;

    private static readonly IReadOnlyDictionary<string, int> Above = new Dictionary<string, int>
    {
        ["Replica"] = 57,
        ["StoreNodeOptions"] = 32, // what a node is told; nothing changes it
        ["RequestItem"] = 26,
        ["ShardLoop"] = 21,
        ["LoopCounters"] = 20, // numbers for the metrics
        ["RemoteGroup"] = 16,
    };

    [Fact]
    public void No_class_of_Replication_holds_more_than_fifteen_fields_but_those_that_did()
    {
        Dictionary<string, int> counts = Assembly.Load("KvStore.Replication").GetTypes()
            .Where(type => type.IsClass && type.Namespace == "KvStore.Replication" && !type.IsDefined(typeof(CompilerGeneratedAttribute)))
            .ToDictionary(type => type.FullName!["KvStore.Replication.".Length..], FieldsOf);
        foreach ((string type, int count) in counts.Where(c => c.Value > Most).OrderByDescending(c => c.Value))
        {
            output.WriteLine($"{type}: {count}");
        }

        Assert.All(counts, type => Assert.True(
            type.Value <= Above.GetValueOrDefault(type.Key, Most), $"{type.Key} holds {type.Value} fields, at most {Above.GetValueOrDefault(type.Key, Most)} are allowed"));
        Assert.All(Above, known => Assert.True(counts.GetValueOrDefault(known.Key) > Most, $"{known.Key} holds {counts.GetValueOrDefault(known.Key)}: take it off the list"));
    }

    /// <summary>The control: own and inherited fields, those of properties, and the fields of structs instead of the struct.</summary>
    [Fact]
    public void Fields_are_counted() => Assert.Equal(7, FieldsOf(typeof(Derived)));

    private static int FieldsOf(Type type)
    {
        int count = 0;
        for (Type? at = type; at is not null && at != typeof(object); at = at.BaseType)
        {
            foreach (FieldInfo field in at.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly))
            {
                Type held = Nullable.GetUnderlyingType(field.FieldType) ?? field.FieldType;
                count += held is { IsValueType: true, IsPrimitive: false, IsEnum: false } && (held.Namespace?.StartsWith("KvStore", StringComparison.Ordinal) ?? false)
                    ? FieldsOf(held) : 1;
            }
        }

        return count;
    }

    private class Base
    {
        public int Inherited { get; set; }
    }

    private sealed class Derived(string captured) : Base
    {
        private readonly Pair? _pair = new(1, 2);

        public DateTime Other { get; set; }

        public Pair Both { get; } = new(3, 4);

        public string Say() => captured + _pair;
    }

    private readonly record struct Pair(int X, int Y);
}
