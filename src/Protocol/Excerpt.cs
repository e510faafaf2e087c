using System.Globalization;
using System.Text;

namespace KvStore.Protocol;

/// <summary>What of a stranger's text may stand in a log line or a sentence of ours: little, and on one line.</summary>
public static class Excerpt
{
    /// <summary>UTF-8 bytes shown of a text; "…" follows when there was more.</summary>
    public const int MaxBytes = 100;

    /// <summary>The beginning of the text. What is not shown as itself, or directs a terminal, is written as \uXXXX.</summary>
    public static string Of(string text)
    {
        var shown = new StringBuilder();
        int bytes = 0;
        for (int i = 0; i < text.Length;)
        {
            bool isRune = Rune.TryGetRuneAt(text, i, out Rune rune);
            string piece = isRune && IsPlain(rune) ? rune.ToString() : Escaped(text.AsSpan(i, isRune ? rune.Utf16SequenceLength : 1));
            int length = Encoding.UTF8.GetByteCount(piece);
            if (bytes + length > MaxBytes)
            {
                return shown.Append('…').ToString();
            }

            shown.Append(piece);
            bytes += length;
            i += isRune ? rune.Utf16SequenceLength : 1;
        }

        return shown.ToString();
    }

    /// <summary>Whether a character may stand in a line as it is: no control, no direction, no line end, nothing unknown.</summary>
    internal static bool IsPlain(Rune rune) => Rune.GetUnicodeCategory(rune) is not (UnicodeCategory.Control or UnicodeCategory.Format
        or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator or UnicodeCategory.PrivateUse
        or UnicodeCategory.OtherNotAssigned);

    private static string Escaped(ReadOnlySpan<char> units)
    {
        var text = new StringBuilder();
        foreach (char unit in units)
        {
            text.Append(CultureInfo.InvariantCulture, $"\\u{(int)unit:X4}");
        }

        return text.ToString();
    }
}
