using System.Text.RegularExpressions;
using KvStore.Protocol;
using Xunit.Abstractions;

namespace KvStore.Architecture.Tests;

/// <summary>
/// What an operation costs: the files of src that name it: its body, its row, its route, one file of the client, and for a write its
/// rule. What a read answers stands beside its body. Whoever needs another file has found a place where operations are told apart by hand.
/// </summary>
public sealed class OperationFilesTests(ITestOutputHelper output)
{
    private const int MostOfWrite = 5;
    private const int MostOfRead = 4;

    /// <summary>Explain asks each replica by a get; that is a use of the operation and not a part of it.</summary>
    private const string Asker = "src/Node/Http/ExplainEndpoint.cs";

    /// <summary>A second store, written apart from the first one on purpose: each is the other's judge.</summary>
    private const string Double = "src/Testing/InMemoryKvStore.cs";

    public static TheoryData<string> Operations => [.. OperationTable.All.Select(row => row.Type.Name)];

    [Theory]
    [MemberData(nameof(Operations))]
    public void An_operation_is_named_in_few_files(string operation)
    {
        OperationRow row = OperationTable.All.Single(row => row.Type.Name == operation);
        string[] files = [.. SourceFiles.Where(file => file is not (Asker or Double) && Names(Repository.Read(file), row.Type))];
        output.WriteLine($"{row.Name}: {string.Join(", ", files)}");
        Assert.InRange(files.Length, 1, row.IsWrite ? MostOfWrite : MostOfRead);
    }

    /// <summary>The control: a type that is spread over the code is seen to be.</summary>
    [Fact]
    public void What_is_spread_is_counted() =>
        Assert.InRange(SourceFiles.Count(file => Names(Repository.Read(file), typeof(KvReply))), 10, 1000);

    private static IEnumerable<string> SourceFiles => Repository.Files("*.cs").Where(file => file.StartsWith("src/", StringComparison.Ordinal));

    // As a type: made, matched, cast to, asked for a member, a type argument, or the type of a parameter. Comments do not count.
    private static bool Names(string source, Type type)
    {
        string code = Regex.Replace(source, "//.*", "");
        string name = type.Name;
        return Regex.IsMatch(
            code,
            $@"new {name}\(|(is|as|not|or|case|class|sealed class) {name}\b|\({name}\)|(?<![\w.]){name}\.\w|<{name}[>?,]|(?<![\w.]){name}\??( \w+)?[,)] |(?<![\w.\""]){name} \w+ (=|=>|\{{)|, {name} \w+|\({name} \w+");
    }
}
