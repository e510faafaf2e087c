using System.Collections;
using System.Reflection;
using System.Runtime.CompilerServices;

namespace KvStore.Architecture.Tests;

/// <summary>
/// The core is a function of its inputs: no clock, no lock, no await, no I/O, no static state. Three guards, because each sees
/// what the others miss. The banned-symbol lists fail the build at the line, but do not see a lock statement, nor a type that
/// appears in a signature only. The assembly references show a lock (it needs System.Threading). Reflection shows awaitables
/// and static state.
/// </summary>
public class PurityTests
{
    /// <summary>All that may be used. Raft, Cluster and StateMachine are pure; Storage and Replication touch memory and the disk.</summary>
    private static readonly Dictionary<string, string[]> AllowedAssemblies = new()
    {
        ["Raft"] = ["System.Runtime", "System.Collections", "System.Memory", "System.Linq"],
        ["Cluster"] =
        [
            "System.Runtime", "System.Collections", "System.Memory", "System.Linq",
            "System.Security.Cryptography", // SHA-256 of the tokens
            "KvStore.Protocol",
        ],
        ["Storage"] =
        [
            "System.Runtime", "System.Collections", "System.Memory", "System.Linq", "KvStore.Raft",
            "System.Runtime.InteropServices", // the calls of libc that sync
            "System.Threading", // Volatile and Interlocked for publication; a lock would be a banned symbol
            "System.IO.FileSystem.DriveInfo", // how much room a disk has
        ],
        ["StateMachine"] =
        [
            "System.Runtime", "System.Collections", "System.Memory", "System.Linq", "KvStore.Raft", "KvStore.Protocol", "KvStore.Storage",
            "System.Runtime.InteropServices", // references into dictionaries
        ],
        ["Replication"] =
        [
            "System.Runtime", "System.Collections", "System.Memory", "System.Linq", "System.Security.Cryptography",
            "System.Runtime.InteropServices",
            "System.Threading", // Volatile and Interlocked for the inbox; a lock would be a banned symbol
            "KvStore.Raft", "KvStore.StateMachine", "KvStore.Cluster", "KvStore.Protocol", "KvStore.Storage",
        ],
    };

    private const BindingFlags Declared = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;

    public static TheoryData<string> PureProjects => ["Raft", "Cluster", "Storage", "StateMachine", "Replication"];

    [Theory]
    [MemberData(nameof(PureProjects))]
    public void It_has_a_list_of_banned_symbols_and_the_analyzer_reads_it(string project)
    {
        var csproj = Repository.Read($"src/{project}/KvStore.{project}.csproj");
        Assert.Contains("Microsoft.CodeAnalysis.BannedApiAnalyzers", csproj);
        Assert.Contains("<AdditionalFiles Include=\"BannedSymbols.txt\" />", csproj);

        var banned = Repository.Read($"src/{project}/BannedSymbols.txt");
        string[] everywhere =
        [
            "System.Net;", "System.Threading.Tasks;", "System.Diagnostics.Stopwatch;", "System.DateTime.UtcNow;", "System.Random.Shared;",
            "System.Guid.NewGuid;", "System.Console;", "System.String.GetHashCode;", "System.HashCode;",
        ];
        Assert.All(everywhere, symbol => Assert.Contains(symbol, banned));
    }

    [Theory]
    [MemberData(nameof(PureProjects))]
    public void It_uses_no_other_assembly_than_it_may(string project) =>
        Assert.Empty(BuiltAssembly.ReferencesOf(project).Except(AllowedAssemblies[project]));

    [Theory]
    [MemberData(nameof(PureProjects))]
    public void It_takes_no_lock_and_waits_for_nobody(string project) =>
        Assert.DoesNotContain(BuiltAssembly.MembersUsedBy(project), member =>
            member.StartsWith("System.Threading.", StringComparison.Ordinal)
            && !member.StartsWith("System.Threading.Volatile.", StringComparison.Ordinal)
            && !member.StartsWith("System.Threading.Interlocked.", StringComparison.Ordinal));

    [Theory]
    [MemberData(nameof(PureProjects))]
    public void It_has_no_awaitable_and_no_async_method(string project)
    {
        var offenders = MethodsOf(project)
            .Where(method => IsAwaitable(method.ReturnType) || method.IsDefined(typeof(AsyncStateMachineAttribute)));
        Assert.Empty(offenders.Select(Name));
    }

    [Theory]
    [MemberData(nameof(PureProjects))]
    public void It_has_no_mutable_static_field(string project)
    {
        var offenders = TypesOf(project)
            .Where(type => !type.Name.Contains('<')) // the compiler's caches of delegates
            .SelectMany(type => type.GetFields(Declared | BindingFlags.Static))
            .Where(field => !field.IsLiteral && (!field.IsInitOnly || IsMutableCollection(field.FieldType)));
        Assert.Empty(offenders.Select(field => $"{field.DeclaringType}.{field.Name}"));
    }

    /// <summary>The controls: what the guards look for, they find in an assembly that is full of it.</summary>
    [Fact]
    public void The_guards_find_what_they_look_for()
    {
        Assert.Contains(MethodsOf("Node"), method => IsAwaitable(method.ReturnType));
        Assert.Contains(MethodsOf("Node"), method => method.IsDefined(typeof(AsyncStateMachineAttribute)));
        Assert.Contains("System.Threading.Monitor.Enter", BuiltAssembly.MembersUsedBy("Node"));
        Assert.NotEmpty(BuiltAssembly.ReferencesOf("Node").Except(AllowedAssemblies["Replication"]));
        Assert.True(IsMutableCollection(typeof(Dictionary<string, int>)));
        Assert.False(IsMutableCollection(typeof(int[])));
    }

    private static Type[] TypesOf(string project) => Assembly.LoadFrom(BuiltAssembly.PathOf(project)).GetTypes();

    private static IEnumerable<MethodInfo> MethodsOf(string project) =>
        TypesOf(project).SelectMany(type => type.GetMethods(Declared | BindingFlags.Instance | BindingFlags.Static));

    private static bool IsAwaitable(Type type) =>
        type.GetMethod("GetAwaiter", Type.EmptyTypes) is not null
        || type.GetInterfaces().Append(type).Any(i => i.IsGenericType && i.GetGenericTypeDefinition() == typeof(IAsyncEnumerable<>));

    // An array stands for a constant table here; what grows does not.
    private static bool IsMutableCollection(Type type) =>
        !type.IsArray && typeof(ICollection).IsAssignableFrom(type)
        && type.Namespace is "System.Collections.Generic" or "System.Collections.Concurrent";

    private static string Name(MethodInfo method) => $"{method.DeclaringType}.{method.Name}";
}
