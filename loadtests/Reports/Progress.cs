using System.Globalization;

namespace KvStore.LoadTests.Reports;

/// <summary>What is going on: one line that is written over on a terminal, a line now and then anywhere else.</summary>
internal sealed class Progress(TextWriter output, bool terminal, TimeProvider clock)
{
    private const int BarWidth = 30;
    private static readonly TimeSpan PlainInterval = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan TerminalInterval = TimeSpan.FromMilliseconds(200);

    private long? _lastShown;
    private int _width;

    public static Progress OnConsole() => new(Console.Out, !Console.IsOutputRedirected, TimeProvider.System);

    /// <summary>A state that the next one replaces. Most are dropped.</summary>
    public void Show(string state)
    {
        var interval = terminal ? TerminalInterval : PlainInterval;
        if (_lastShown is { } last && clock.GetElapsedTime(last) < interval)
        {
            return;
        }

        _lastShown = clock.GetTimestamp();
        if (terminal)
        {
            output.Write('\r' + state.PadRight(_width));
            _width = state.Length;
        }
        else
        {
            output.WriteLine(state);
        }
    }

    public void ShowShare(string what, long done, long total)
    {
        int full = total == 0 ? BarWidth : (int)(BarWidth * done / total);
        string bar = terminal ? $"[{new string('#', full)}{new string('.', BarWidth - full)}] " : "";
        Show(string.Create(CultureInfo.InvariantCulture, $"{what} {bar}{done:N0} of {total:N0}"));
    }

    /// <summary>A line that stays.</summary>
    public void Say(string line)
    {
        if (terminal && _width > 0)
        {
            output.Write('\r' + new string(' ', _width) + '\r');
            _width = 0;
        }

        output.WriteLine(line);
        _lastShown = null;
    }
}
