using System.CommandLine;
using System.Text.Json;
using KvStore.Client;
using Spectre.Console;

namespace KvStore.Cli;

/// <summary>What commands share: how to reach the cluster, and how results are printed.</summary>
internal sealed class Shell(Settings settings, TextWriter output, TextWriter errors, TextReader input)
{
    public TextWriter Output => output;

    public TextWriter Errors => errors;

    public TextReader Input => input;

    /// <summary>Nobody looks at redirected output while it is made.</summary>
    public static bool IsTerminal => !Console.IsOutputRedirected && !Console.IsErrorRedirected;

    public OutputForm FormOf(ParseResult parsed) => settings.OutputOf(parsed);

    public KvClient Connect(ParseResult parsed) => settings.Connect(parsed);

    /// <summary>Rows of a table: as JSON an array of objects, as ndjson one object a line, raw the cells between tabs.</summary>
    public void Print(ParseResult parsed, IReadOnlyList<string> columns, IReadOnlyList<IReadOnlyList<object?>> rows)
    {
        switch (FormOf(parsed))
        {
            case OutputForm.Json:
                output.WriteLine(JsonSerializer.Serialize(rows.Select(row => ToObject(columns, row)), Json.Document));
                break;
            case OutputForm.Ndjson:
                foreach (IReadOnlyList<object?> row in rows)
                {
                    output.WriteLine(JsonSerializer.Serialize(ToObject(columns, row), Json.Lines));
                }

                break;
            case OutputForm.Raw:
                foreach (IReadOnlyList<object?> row in rows)
                {
                    output.WriteLine(string.Join('\t', row.Select(Text)));
                }

                break;
            default:
                if (IsTerminal && ReferenceEquals(output, Console.Out) && !settings.IsPlain(parsed))
                {
                    PrintBordered(columns, rows);
                }
                else
                {
                    PrintPlain(columns, rows);
                }

                break;
        }
    }

    private static Dictionary<string, object?> ToObject(IReadOnlyList<string> columns, IReadOnlyList<object?> row) =>
        columns.Select((column, i) => (column, row[i])).ToDictionary(pair => pair.column, pair => pair.Item2);

    private static string Text(object? cell) => cell switch
    {
        null => "-",
        IEnumerable<string> many => string.Join(',', many),
        IFormattable number => number.ToString(null, System.Globalization.CultureInfo.InvariantCulture),
        _ => cell.ToString() ?? "",
    };

    private static void PrintBordered(IReadOnlyList<string> columns, IReadOnlyList<IReadOnlyList<object?>> rows)
    {
        var table = new Table { Border = TableBorder.Rounded };
        foreach (string column in columns)
        {
            table.AddColumn(new TableColumn(Markup.Escape(column)));
        }

        foreach (IReadOnlyList<object?> row in rows)
        {
            table.AddRow([.. row.Select(cell => new Markup(Markup.Escape(Text(cell))))]);
        }

        AnsiConsole.Write(table);
    }

    private void PrintPlain(IReadOnlyList<string> columns, IReadOnlyList<IReadOnlyList<object?>> rows)
    {
        int[] widths = [.. columns.Select((column, i) => Math.Max(column.Length, rows.Select(row => Text(row[i]).Length).DefaultIfEmpty().Max()))];
        foreach (IEnumerable<string> line in rows.Select(row => row.Select(Text)).Prepend(columns))
        {
            output.WriteLine(string.Join("  ", line.Select((cell, i) => cell.PadRight(widths[i]))).TrimEnd());
        }
    }
}
