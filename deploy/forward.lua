-- Orthanc sends every ultrasound image that it gets on to endometer, and nothing else: not the
-- reports and pictures that come back. See docs/node.md; tests run it in a real Orthanc.
local IMAGES = {
  ['1.2.840.10008.5.1.4.1.1.6.1'] = true, -- Ultrasound Image
  ['1.2.840.10008.5.1.4.1.1.3.1'] = true, -- Ultrasound Multi-frame Image
  ['1.2.840.10008.5.1.4.1.1.6'] = true,   -- both, retired
  ['1.2.840.10008.5.1.4.1.1.3'] = true,
}

function OnStoredInstance(instance, tags)
  if IMAGES[tags['SOPClassUID']] then
    SendToModality(instance, 'endometer')
  end
end
