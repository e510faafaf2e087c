using System.Text.RegularExpressions;
using KvStore.Protocol;
using Xunit.Abstractions;

namespace KvStore.Architecture.Tests;

/// <summary>
/// What an operation costs: the files of src that name it: its body, its row, its route, one file of the client, and for a write its
/// rule. What a read answers stands beside its body. Whoever needs another file has found a place where operations are told apart by hand.
/// </summary>
public sealed partial class OperationFilesTests(ITestOutputHelper output)
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
        string[] files = [.. FilesThatName(row.Type.Name).Where(file => file is not (Asker or Double))];
        output.WriteLine($"{row.Name}: {string.Join(", ", files)}");
        int most = row.IsWrite ? MostOfWrite : MostOfRead;
        Assert.True(
            files.Length >= 1 && files.Length <= most,
            $"{row.Type.Name} is named in {files.Length} files; {most} are enough for its body, its row, its route, one of the client and a rule. "
            + $"One of these tells operations apart by hand, where a member of the operation or its row should say it: {string.Join(", ", files)}");
    }

    /// <summary>The control: a type that is spread over the code is seen to be.</summary>
    [Fact]
    public void What_is_spread_is_counted() =>
        Assert.InRange(FilesThatName(nameof(KvReply)).Count(), 10, 1000);

    /// <summary>An operation to come would be called so: the numbers of that name, in Storage and elsewhere, are not it.</summary>
    [Fact]
    public void A_number_of_the_same_name_is_not_counted() => Assert.Empty(FilesThatName("Length"));

    private static IEnumerable<string> SourceFiles => Repository.Files("*.cs").Where(file => file.StartsWith("src/", StringComparison.Ordinal));

    private static IEnumerable<string> FilesThatName(string type) => SourceFiles.Where(file => Names(Repository.Read(file), type));

    // Operations are seen where their namespace is: without it a name of theirs is something else's.
    [GeneratedRegex(@"^(using|namespace) KvStore\.Protocol;", RegexOptions.Multiline)]
    private static partial Regex SeesOperations();

    // As a type: made, matched, cast to, asked for a member, a type argument, or the type of a parameter. Comments do not count.
    private static bool Names(string source, string name)
    {
        string code = Regex.Replace(source, "//.*", "");
        return SeesOperations().IsMatch(code) && Regex.IsMatch(
            code,
            $@"new {name}\(|(is|as|not|or|case|class|sealed class) {name}\b|\({name}\)|(?<![\w.]){name}\.\w|<{name}[>?,]|(?<![\w.]){name}\??( \w+)?[,)] |(?<![\w.\""]){name} \w+ (=|=>|\{{)|, {name} \w+|\({name} \w+");
    }
}
